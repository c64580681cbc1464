import CAscend
public import TensorCore
public import TensorOps

// Reductions; those that the host waits for end in a copy of one element.

extension AscendBackend {
  /// `aclnnMean`.
  public func meanOverTokens(_ x: Tensor) throws(BackendError) -> Tensor {
    try device.perform { () throws(BackendError) in
      try result([x.shape[0], x.shape[2]], of: "aclnnMean", aclnnMeanFunction.self) { call, mean, out in
        mean(
          call.tensor(x), call.integers([1]), false, activationType.ascendType, out, call.workspaceSize, call.executor)
      }
    }
  }

  /// `aclnnSub` (in float32, so that small differences count), `aclnnAbs`, `aclnnReduceSum` in float32.
  public func absoluteSum(_ x: Tensor, minus y: Tensor?) throws(BackendError) -> Double {
    try device.perform { () throws(BackendError) in
      if x.count == 0 { return 0 }
      let wide = try converted(x, to: .float32)
      let values = if let y { try difference(wide, try converted(y, to: .float32), in: .float32) } else { wide }
      let magnitudes = try result(x.shape, .float32, of: "aclnnAbs", aclnnAbsFunction.self) { call, abs, out in
        abs(call.tensor(values), out, call.workspaceSize, call.executor)
      }
      let axes = Array(0..<x.shape.rank)
      let sum = try result([], .float32, of: "aclnnReduceSum", aclnnReduceSumFunction.self) { call, sum, out in
        sum(
          call.tensor(magnitudes), call.integers(axes), false, ACL_FLOAT, out, call.workspaceSize, call.executor)
      }
      var number: Float = 0
      try device.copy(sum, to: &number, operation: "absolute sum")
      return Double(number)
    }
  }

  /// `aclnnIsFinite`, `aclnnAll`.
  public func isFinite(_ x: Tensor) throws(BackendError) -> Bool {
    try device.perform { () throws(BackendError) in
      if x.count == 0 { return true }
      let flags = try result(x.shape, .bool, of: "aclnnIsFinite", aclnnIsFiniteFunction.self) { call, isFinite, out in
        isFinite(call.tensor(x), out, call.workspaceSize, call.executor)
      }
      let axes = Array(0..<x.shape.rank)
      let all = try result([], .bool, of: "aclnnAll", aclnnAllFunction.self) { call, all, out in
        all(call.tensor(flags), call.integers(axes), false, out, call.workspaceSize, call.executor)
      }
      var answer: UInt8 = 0
      try device.copy(all, to: &answer, operation: "is finite")
      return answer != 0
    }
  }
}
