import CPUBackend
import Foundation
import TensorCore
import TensorOps

/// The processor's backend with another attention, for tests of how attention is shared out to ranks.
final class AttentionBackend: Backend {
  typealias Attention = @Sendable ([Tensor], [KeyValue], Bool) throws(BackendError) -> [AttentionOutput]

  private let base = CPUBackend(threads: 1)
  private let replacement: Attention

  init(_ replacement: @escaping Attention) { self.replacement = replacement }

  func attention(
    queries: [Tensor], keyValues: [KeyValue], scale: Float, mask: AttentionMask, logSumExp: Bool
  ) throws(BackendError) -> [AttentionOutput] { try replacement(queries, keyValues, logSumExp) }

  let name = "cpu with another attention"
  var activationType: DType { base.activationType }
  func upload(_ tensor: Tensor) throws(BackendError) -> Tensor { try base.upload(tensor) }
  func download(_ tensor: Tensor) throws(BackendError) -> Tensor { try base.download(tensor) }
  func adopt(_ weight: Weight) throws(BackendError) -> Weight { try base.adopt(weight) }
  func linear(
    _ inputs: [Tensor], weight: Weight, bias: Weight?, activation: Activation
  ) throws(BackendError) -> Tensor { try base.linear(inputs, weight: weight, bias: bias, activation: activation) }
  func embedding(_ ids: Tensor, table: Weight) throws(BackendError) -> Tensor {
    try base.embedding(ids, table: table)
  }
  func layerNorm(
    _ x: Tensor, weight: Weight?, bias: Weight?, scale: Tensor?, shift: Tensor?, epsilon: Float
  ) throws(BackendError) -> Tensor {
    try base.layerNorm(x, weight: weight, bias: bias, scale: scale, shift: shift, epsilon: epsilon)
  }
  func rmsNorm(_ x: Tensor, weight: Weight, epsilon: Float) throws(BackendError) -> Tensor {
    try base.rmsNorm(x, weight: weight, epsilon: epsilon)
  }
  func headNorm(_ x: Tensor, weight: Weight?, epsilon: Float, rotary: RotaryTable?) throws(BackendError) -> Tensor {
    try base.headNorm(x, weight: weight, epsilon: epsilon, rotary: rotary)
  }
  func groupNorm(
    _ x: Tensor, groups: Int, weight: Weight, bias: Weight, epsilon: Float, activation: Activation
  ) throws(BackendError) -> Tensor {
    try base.groupNorm(x, groups: groups, weight: weight, bias: bias, epsilon: epsilon, activation: activation)
  }
  func merged(_ a: AttentionOutput, _ b: AttentionOutput) throws(BackendError) -> AttentionOutput {
    try base.merged(a, b)
  }
  func causalConvolution(
    _ x: Tensor, weight: Weight, bias: Weight?, upsampling: Upsampling, residual: Tensor?
  ) throws(BackendError) -> Tensor {
    try base.causalConvolution(x, weight: weight, bias: bias, upsampling: upsampling, residual: residual)
  }
  func activate(_ x: Tensor, _ activation: Activation) throws(BackendError) -> Tensor {
    try base.activate(x, activation)
  }
  func gatedSiLU(gate: Tensor, _ x: Tensor) throws(BackendError) -> Tensor { try base.gatedSiLU(gate: gate, x) }
  func residual(_ x: Tensor, gate: Tensor?, _ y: Tensor) throws(BackendError) -> Tensor {
    try base.residual(x, gate: gate, y)
  }
  func combination(_ a: Float, _ x: Tensor, _ b: Float, _ y: Tensor) throws(BackendError) -> Tensor {
    try base.combination(a, x, b, y)
  }
  func contiguous(_ x: Tensor) throws(BackendError) -> Tensor { try base.contiguous(x) }
  func concatenate(_ tensors: [Tensor], axis: Int) throws(BackendError) -> Tensor {
    try base.concatenate(tensors, axis: axis)
  }
  func meanOverTokens(_ x: Tensor) throws(BackendError) -> Tensor { try base.meanOverTokens(x) }
  func absoluteSum(_ x: Tensor, minus y: Tensor?) throws(BackendError) -> Double {
    try base.absoluteSum(x, minus: y)
  }
  func isFinite(_ x: Tensor) throws(BackendError) -> Bool { try base.isFinite(x) }
}

extension AttentionBackend {
  /// Results of the right shapes that say nothing.
  static func blank(_ queries: [Tensor], logSumExp: Bool) -> [AttentionOutput] {
    queries.map { query in
      let logs: Shape = [query.shape[0], query.shape[2], query.shape[1]]
      return AttentionOutput(
        values: Tensor(repeating: 0, shape: query.shape),
        logSumExp: logSumExp ? Tensor(repeating: 0, shape: logs) : nil)
    }
  }

  /// An attention whose work grows with the number of tokens, not with its square, and that still tells every query,
  /// every key and its value apart: `q + Σ e^s v / Σ e^s` with the score `s` the mean of the key. It merges by logarithms as the
  /// real one does.
  static func linear() -> AttentionBackend {
    let cpu = CPUBackend(threads: 1)
    return AttentionBackend { (queries, keyValues, _) throws(BackendError) in
      let (batch, heads, size) = (queries[0].shape[0], queries[0].shape[2], queries[0].shape[3])
      var sums = [Double](repeating: 0, count: batch * heads * size)
      var weights = [Double](repeating: 0, count: batch * heads)
      for pair in keyValues {
        let (keys, values) = (try cpu.contiguous(pair.key), try cpu.contiguous(pair.value))
        let (k, v) = (keys.hostFloats, values.hostFloats)
        let tokens = keys.shape[1]
        for row in 0..<batch * tokens * heads {
          let group = row / (tokens * heads) * heads + row % heads
          var score: Float = 0
          for channel in 0..<size { score += k[row * size + channel] }
          let weight = exp(Double(score) / Double(size))
          weights[group] += weight
          for channel in 0..<size { sums[group * size + channel] += weight * Double(v[row * size + channel]) }
        }
      }
      var outputs: [AttentionOutput] = []
      for query in queries {
        let tokens = query.shape[1]
        let dense = try cpu.contiguous(query)
        let q = dense.hostFloats
        let result = Tensor(uninitialized: query.shape)
        let logs = Tensor(uninitialized: [batch, heads, tokens])
        let output = result.mutableHostPointer.assumingMemoryBound(to: Float.self)
        let logarithms = logs.mutableHostPointer.assumingMemoryBound(to: Float.self)
        let means = sums.indices.map { Float(sums[$0] / weights[$0 / size]) }
        for row in 0..<batch * tokens * heads {
          let item = row / (tokens * heads)
          let group = item * heads + row % heads
          for channel in 0..<size {
            output[row * size + channel] = q[row * size + channel] + means[group * size + channel]
          }
        }
        for group in weights.indices {
          (logarithms + group * tokens).update(repeating: Float(log(weights[group])), count: tokens)
        }
        outputs.append(AttentionOutput(values: result, logSumExp: logs))
      }
      return outputs
    }
  }
}

extension Tensor {
  /// The elements of a dense float32 tensor.
  var hostFloats: UnsafePointer<Float> { hostPointer.assumingMemoryBound(to: Float.self) }
}
