import CAscend
public import TensorCore
public import TensorOps

// Normalizations. Statistics are float32 inside; operands of one type; strided inputs are taken.

extension AscendBackend {
  /// `aclnnAdaLayerNorm` where this CANN has it and the call is modulated, else `aclnnLayerNorm`, `aclnnMul`, `aclnnAdd`.
  public func layerNorm(
    _ x: Tensor, weight: Weight?, bias: Weight?, scale: Tensor?, shift: Tensor?, epsilon: Float
  ) throws(BackendError) -> Tensor {
    try device.perform { () throws(BackendError) in
      if let scale, let shift, device.has("aclnnAdaLayerNorm") {
        return try result(x.shape, of: "aclnnAdaLayerNorm", aclnnAdaLayerNormFunction.self) { call, norm, out in
          norm(
            call.tensor(x), call.tensor(scale.insertingAxis(1)), call.tensor(shift.insertingAxis(1)),
            call.tensor(weight?.tensor), call.tensor(bias?.tensor), Double(epsilon), out, call.workspaceSize,
            call.executor)
        }
      }
      var y = try result(x.shape, of: "aclnnLayerNorm", aclnnLayerNormFunction.self) { call, norm, out in
        norm(
          call.tensor(x), call.integers([x.shape.last]), call.tensor(weight?.tensor), call.tensor(bias?.tensor),
          Double(epsilon), out, nil, nil, call.workspaceSize, call.executor)
      }
      if let scale {
        let factor = try result(scale.shape, of: "aclnnAdds", aclnnAddsFunction.self) { call, adds, out in
          adds(call.tensor(scale), call.scalar(1), call.scalar(1), out, call.workspaceSize, call.executor)
        }
        y = try product(y, factor.insertingAxis(1))
      }
      if let shift { y = try sum(y, shift.insertingAxis(1)) }
      return y
    }
  }

  public func rmsNorm(_ x: Tensor, weight: Weight, epsilon: Float) throws(BackendError) -> Tensor {
    try device.perform { () throws(BackendError) in try rootMeanSquareNorm(x, weight.tensor, epsilon) }
  }

  /// `aclnnRmsNorm`, which also wants room for the reciprocal deviations: float32, the normalized axis 1.
  func rootMeanSquareNorm(_ x: Tensor, _ weight: Tensor, _ epsilon: Float) throws(BackendError) -> Tensor {
    let statistics = Shape(x.shape.dimensions.dropLast() + [1])
    let deviations = try device.tensor(statistics, .float32, for: "aclnnRmsNorm")
    return try result(x.shape, of: "aclnnRmsNorm", aclnnRmsNormFunction.self) { call, norm, out in
      norm(
        call.tensor(x), call.tensor(weight), Double(epsilon), out, call.tensor(deviations), call.workspaceSize,
        call.executor)
    }
  }

  /// `aclnnGroupNormSiluV2` (variance over all elements, SiLU on demand), else `aclnnGroupNorm` and the activation.
  public func groupNorm(
    _ x: Tensor, groups: Int, weight: Weight, bias: Weight, epsilon: Float, activation: Activation
  ) throws(BackendError) -> Tensor {
    precondition(x.shape[1] % groups == 0, "group norm: \(x) in \(groups) groups")
    return try device.perform { () throws(BackendError) in
      let statistics: Shape = [x.shape[0], groups]
      let mean = try device.tensor(statistics, activationType, for: "aclnnGroupNorm")
      let deviation = try device.tensor(statistics, activationType, for: "aclnnGroupNorm")
      if device.has("aclnnGroupNormSiluV2") {
        let y = try result(x.shape, of: "aclnnGroupNormSiluV2", aclnnGroupNormSiluV2Function.self) { call, norm, out in
          norm(
            call.tensor(x), call.tensor(weight.tensor), call.tensor(bias.tensor), Int64(groups), Double(epsilon),
            activation == .silu, out, call.tensor(mean), call.tensor(deviation), call.workspaceSize, call.executor)
        }
        return activation == .silu || activation == .none ? y : try activated(y, activation)
      }
      let y = try result(x.shape, of: "aclnnGroupNorm", aclnnGroupNormFunction.self) { call, norm, out in
        norm(
          call.tensor(x), call.tensor(weight.tensor), call.tensor(bias.tensor), Int64(x.shape[0]), Int64(x.shape[1]),
          Int64(x.shape.dimensions[2...].reduce(1, *)), Int64(groups), Double(epsilon), out, call.tensor(mean),
          call.tensor(deviation), call.workspaceSize, call.executor)
      }
      return activation == .none ? y : try activated(y, activation)
    }
  }
}
