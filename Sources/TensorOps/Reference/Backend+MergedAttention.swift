import TensorCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

extension Backend {
  /// On the host, in float32: `l = m + ln(e^(a-m) + e^(b-m))` with `m` the larger logarithm, and the means weighted by
  /// `e^(a-l)` and `e^(b-l)`. Queries that saw no key on either side keep zeros and `-∞`.
  public func merged(_ a: AttentionOutput, _ b: AttentionOutput) throws(BackendError) -> AttentionOutput {
    guard let aLogs = a.logSumExp, let bLogs = b.logSumExp else {
      preconditionFailure("merged attention: logarithms are missing")
    }
    precondition(a.values.shape == b.values.shape, "merged attention: \(a.values) and \(b.values) differ in shape")
    let (batch, tokens, heads, size) = (
      a.values.shape[0], a.values.shape[1], a.values.shape[2], a.values.shape[3]
    )
    let x = try download(a.values)
    let y = try download(b.values)
    let result = Tensor(uninitialized: a.values.shape)
    let logarithms = Tensor(uninitialized: aLogs.shape)
    let (xs, ys) = (
      x.hostPointer.assumingMemoryBound(to: Float.self), y.hostPointer.assumingMemoryBound(to: Float.self)
    )
    let output = result.mutableHostPointer.assumingMemoryBound(to: Float.self)
    let la = try download(aLogs)
    let lb = try download(bLogs)
    let (las, lbs) = (
      la.hostPointer.assumingMemoryBound(to: Float.self), lb.hostPointer.assumingMemoryBound(to: Float.self)
    )
    let ls = logarithms.mutableHostPointer.assumingMemoryBound(to: Float.self)
    for item in 0..<batch {
      for token in 0..<tokens {
        for head in 0..<heads {
          let position = (item * heads + head) * tokens + token
          let start = ((item * tokens + token) * heads + head) * size
          let largest = max(las[position], lbs[position])
          let isEmpty = largest == -.infinity
          let joint = isEmpty ? largest : largest + log(exp(las[position] - largest) + exp(lbs[position] - largest))
          let first = isEmpty ? 0 : exp(las[position] - joint)
          let second = isEmpty ? 0 : exp(lbs[position] - joint)
          ls[position] = joint
          for channel in start..<start + size { output[channel] = first * xs[channel] + second * ys[channel] }
        }
      }
    }
    return AttentionOutput(values: try upload(result), logSumExp: logarithms)
  }
}
