import CAscend
import TensorCore
public import TensorOps

// Joining attention over disjoint sets of keys, elementwise in float32.

extension AscendBackend {
  /// `a + σ(lse_b - lse_a) · (b - a)`: `aclnnSub`, `aclnnSigmoid`, `aclnnMul`, `aclnnAdd`; logarithms by `aclnnLogAddExp`.
  public func merged(_ a: AttentionOutput, _ b: AttentionOutput) throws(BackendError) -> AttentionOutput {
    guard let first = a.logSumExp, let second = b.logSumExp else {
      preconditionFailure("merged: attention without logarithms")
    }
    return try device.perform { () throws(BackendError) in
      let gap = try difference(second, first, in: .float32)
      let share = try result(gap.shape, .float32, of: "aclnnSigmoid", aclnnSigmoidFunction.self) { call, sigmoid, out in
        sigmoid(call.tensor(gap), out, call.workspaceSize, call.executor)
      }
      // [B, N, L] to [B, L, N, 1], as the values have their axes.
      let weight = share.permuted([0, 2, 1]).insertingAxis(3)
      let wideA = try converted(a.values, to: .float32)
      let change = try difference(try converted(b.values, to: .float32), wideA, in: .float32)
      let values = try sum(wideA, try product(change, weight, in: .float32), in: .float32)
      let logSumExp = try result(first.shape, .float32, of: "aclnnLogAddExp", aclnnLogAddExpFunction.self) {
        call, logAddExp, out in
        logAddExp(call.tensor(first), call.tensor(second), out, call.workspaceSize, call.executor)
      }
      return AttentionOutput(values: try converted(values, to: activationType), logSumExp: logSumExp)
    }
  }
}
