import TensorCore
public import TensorOps

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

extension CPUBackend {
  /// One pass over both outputs, tokens shared out to the threads.
  public func merged(_ a: AttentionOutput, _ b: AttentionOutput) throws(BackendError) -> AttentionOutput {
    guard let aLogs = a.logSumExp, let bLogs = b.logSumExp else {
      preconditionFailure("merged attention: logarithms are missing")
    }
    precondition(a.values.shape == b.values.shape, "merged attention: \(a.values) and \(b.values) differ in shape")
    let (x, y) = (try contiguous(a.values), try contiguous(b.values))
    let (xLogs, yLogs) = (try contiguous(aLogs), try contiguous(bLogs))
    let (tokens, heads, size) = (x.shape[1], x.shape[2], x.shape[3])
    let output = AttentionOutput(
      values: workspace.tensor(x.shape), logSumExp: workspace.tensor(xLogs.shape))
    guard let logs = output.logSumExp else { return output }
    workspace.note(
      .merged, [x.shape[0] * tokens, heads, size], reads: 2 * x.byteCount, writes: x.byteCount)
    workspace.parallelRanges(count: x.shape[0] * tokens, grain: max(1, 65536 / max(heads * size, 1))) { range in
      for row in range {
        for head in 0..<heads {
          // Logarithms are [B, N, L].
          let position = (row / tokens * heads + head) * tokens + row % tokens
          let (p, q) = (xLogs.floats[position], yLogs.floats[position])
          let largest = max(p, q)
          let isEmpty = largest == -.infinity
          let joint = isEmpty ? largest : largest + log(exp(p - largest) + exp(q - largest))
          let (first, second) = isEmpty ? (0, 0) : (exp(p - joint), exp(q - joint))
          logs.floats[position] = joint
          let start = (row * heads + head) * size
          mapElements(
            size, UnsafePointer(x.floats + start), UnsafePointer(y.floats + start), to: output.values.floats + start
          ) { first * $0 + second * $1 }
        }
      }
    }
    return output
  }
}
