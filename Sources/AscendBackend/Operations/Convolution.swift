import CAscend
public import TensorCore
public import TensorOps

// Causal convolution: enlargement, replicated border, `aclnnConvolution` without padding of its own, which is zeros on
// both sides. NCDHW; 16-bit types; extents up to 1,000,000.

extension AscendBackend {
  public func causalConvolution(
    _ x: Tensor, weight: Weight, bias: Weight?, upsampling: Upsampling, residual: Tensor?
  ) throws(BackendError) -> Tensor {
    precondition(x.shape.rank == 5 && weight.shape[1] == x.shape[1], "convolution: \(x) and \(weight.tensor)")
    return try device.perform { () throws(BackendError) in
      try bring(weight, bias)
      let enlarged = try upsampled(x, upsampling)
      let kernel = weight.shape[2]
      let bordered = try bordered(enlarged, kernel: kernel)
      let shape = Shape([x.shape[0], weight.shape[0]] + enlarged.shape.dimensions[2...])
      let output = try device.tensor(shape, activationType, for: "aclnnConvolution")
      try device.call("aclnnConvolution", aclnnConvolutionFunction.self) { call, convolve in
        convolve(
          call.tensor(bordered, format: ACL_FORMAT_NCDHW), call.tensor(weight.tensor, format: ACL_FORMAT_NCDHW),
          call.tensor(bias?.tensor), call.integers([1, 1, 1]), call.integers([0, 0, 0]), call.integers([1, 1, 1]),
          false, call.integers([0, 0, 0]), 1, call.tensor(output, format: ACL_FORMAT_NCDHW), 0, call.workspaceSize,
          call.executor)
      }
      guard let residual else { return output }
      return try sum(output, residual)
    }
  }

  /// `aclnnUpsampleNearest3d` for the first frame, which stays single, and for the rest.
  private func upsampled(_ x: Tensor, _ upsampling: Upsampling) throws(BackendError) -> Tensor {
    if upsampling == .none { return x }
    let frames = x.shape[2]
    let first = try resized(x.slice(2, 0..<1), time: 1, space: upsampling.space)
    if frames == 1 { return first }
    let rest = try resized(x.slice(2, 1..<frames), time: upsampling.time, space: upsampling.space)
    return try joined([first, rest], axis: 2)
  }

  private func resized(_ x: Tensor, time: Int, space: Int) throws(BackendError) -> Tensor {
    if time == 1 && space == 1 { return x }
    let extents = [x.shape[2] * time, x.shape[3] * space, x.shape[4] * space]
    let output = try device.tensor(
      Shape([x.shape[0], x.shape[1]] + extents), activationType, for: "aclnnUpsampleNearest3d")
    try device.call("aclnnUpsampleNearest3d", aclnnUpsampleNearest3dFunction.self) { call, upsample in
      upsample(
        call.tensor(x, format: ACL_FORMAT_NCDHW), call.integers(extents), Double(time), Double(space), Double(space),
        call.tensor(output, format: ACL_FORMAT_NCDHW), call.workspaceSize, call.executor)
    }
    return output
  }

  /// The border replicated: `kernel / 2` around rows and columns by `aclnnReplicationPad3d`, `kernel - 1` frames in front by
  /// copies. The operator's document wants padding below the extent, so where there is one row or column copies do it too.
  private func bordered(_ x: Tensor, kernel: Int) throws(BackendError) -> Tensor {
    if kernel == 1 { return x }
    let side = kernel / 2
    var y = try joined(Array(repeating: x.slice(2, 0..<1), count: kernel - 1) + [x], axis: 2)
    for axis in [3, 4] where y.shape[axis] <= side {
      let last = y.shape[axis] - 1
      let front = Array(repeating: y.slice(axis, 0..<1), count: side)
      let back = Array(repeating: y.slice(axis, last..<last + 1), count: side)
      y = try joined(front + [y] + back, axis: axis)
    }
    let rows = y.shape[3] == x.shape[3] ? side : 0
    let columns = y.shape[4] == x.shape[4] ? side : 0
    if rows == 0 && columns == 0 { return y }
    let shape: Shape = [y.shape[0], y.shape[1], y.shape[2], y.shape[3] + 2 * rows, y.shape[4] + 2 * columns]
    let output = try device.tensor(shape, activationType, for: "aclnnReplicationPad3d")
    try device.call("aclnnReplicationPad3d", aclnnReplicationPad3dFunction.self) { call, pad in
      pad(
        call.tensor(y, format: ACL_FORMAT_NCDHW), call.integers([columns, columns, rows, rows, 0, 0]),
        call.tensor(output, format: ACL_FORMAT_NCDHW), call.workspaceSize, call.executor)
    }
    return output
  }
}
