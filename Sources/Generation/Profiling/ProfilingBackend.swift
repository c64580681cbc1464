public import TensorCore
public import TensorOps

/// Records each operation of another backend: its time, the multiplications and additions of products, and the bytes that it reads
/// and writes at least.
///
/// The times are those of the calls, and each call is waited for: a device that works while its calls return is slower while it is
/// recorded, by the gap that the wait leaves between two operations.
public final class ProfilingBackend: Backend {
  private let base: any Backend
  private let profiler: Profiler

  public init(_ base: any Backend, recordingTo profiler: Profiler) {
    self.base = base
    self.profiler = profiler
  }

  public var name: String { base.name }
  public var activationType: DType { base.activationType }

  /// Does an operation and records it. Inlined, since a closure that is passed on copies the tensors and weights that it holds:
  /// counting their references took three times as long as recording the event.
  @inline(__always)
  private func recorded<Result>(
    _ call: ProfiledCall, operations: Double = 0, bytes: Int, _ body: () throws(BackendError) -> Result
  ) throws(BackendError) -> Result {
    let start = profiler.moment()
    let result = try body()
    let mark = profiler.mark()
    try base.synchronize()
    profiler.record(.operation, call, since: start, to: mark, operations: operations, bytes: Double(bytes))
    return result
  }

  // MARK: Moving data

  public func upload(_ tensor: Tensor) throws(BackendError) -> Tensor {
    try recorded(.upload, bytes: 2 * tensor.byteCount) { () throws(BackendError) in try base.upload(tensor) }
  }

  public func download(_ tensor: Tensor) throws(BackendError) -> Tensor {
    try recorded(.download, bytes: 2 * tensor.byteCount) { () throws(BackendError) in try base.download(tensor) }
  }

  public func adopt(_ weight: Weight) throws(BackendError) -> Weight {
    try recorded(.adopt, bytes: 0) { () throws(BackendError) in try base.adopt(weight) }
  }

  // MARK: Linear layers

  public func linear(
    _ inputs: [Tensor], weight: Weight, bias: Weight?, activation: Activation
  ) throws(BackendError) -> Tensor {
    try recorded(multiplying: inputs, with: weight) { () throws(BackendError) in
      try base.linear(inputs, weight: weight, bias: bias, activation: activation)
    }
  }

  public var addsWhileMultiplying: Bool { base.addsWhileMultiplying }

  public func linear(
    _ inputs: [Tensor], weight: Weight, bias: Weight?, addedTo stream: ResidualStream
  ) throws(BackendError) -> Tensor {
    try recorded(multiplying: inputs, with: weight, reads: stream.x.byteCount) { () throws(BackendError) in
      try base.linear(inputs, weight: weight, bias: bias, addedTo: stream)
    }
  }

  @inline(__always)
  private func recorded(
    multiplying inputs: [Tensor], with weight: Weight, reads added: Int = 0, _ body: () throws(BackendError) -> Tensor
  ) throws(BackendError) -> Tensor {
    let (rows, channels) = (inputs[0].shape.rows, inputs.reduce(0) { $0 + $1.shape.last })
    let outputs = weight.shape[0]
    let moved = inputs.byteCount + weight.tensor.byteCount + added + rows * outputs * activationType.byteCount
    return try recorded(
      .linear, operations: 2 * Double(rows) * Double(channels) * Double(outputs), bytes: moved, body)
  }

  public func embedding(_ ids: Tensor, table: Weight) throws(BackendError) -> Tensor {
    try recorded(.embedding, bytes: ids.count * table.shape.last * (table.dtype.byteCount + activationType.byteCount)) {
      () throws(BackendError) in
      try base.embedding(ids, table: table)
    }
  }

  // MARK: Normalization and modulation

  public func layerNorm(
    _ x: Tensor, weight: Weight?, bias: Weight?, scale: Tensor?, shift: Tensor?, epsilon: Float
  ) throws(BackendError) -> Tensor {
    try recorded(.layerNorm, bytes: 2 * x.byteCount) { () throws(BackendError) in
      try base.layerNorm(x, weight: weight, bias: bias, scale: scale, shift: shift, epsilon: epsilon)
    }
  }

  public func rmsNorm(_ x: Tensor, weight: Weight, epsilon: Float) throws(BackendError) -> Tensor {
    try recorded(.rmsNorm, bytes: 2 * x.byteCount) { () throws(BackendError) in
      try base.rmsNorm(x, weight: weight, epsilon: epsilon)
    }
  }

  public func headNorm(
    _ x: Tensor, weight: Weight?, epsilon: Float, rotary: RotaryTable?
  ) throws(BackendError) -> Tensor {
    try recorded(.headNorm, bytes: 2 * x.byteCount) { () throws(BackendError) in
      try base.headNorm(x, weight: weight, epsilon: epsilon, rotary: rotary)
    }
  }

  public func groupNorm(
    _ x: Tensor, groups: Int, weight: Weight, bias: Weight, epsilon: Float, activation: Activation
  ) throws(BackendError) -> Tensor {
    // Statistics first, then the result.
    try recorded(.groupNorm, bytes: 3 * x.byteCount) { () throws(BackendError) in
      try base.groupNorm(x, groups: groups, weight: weight, bias: bias, epsilon: epsilon, activation: activation)
    }
  }

  // MARK: Attention

  public func attention(
    queries: [Tensor], keyValues: [KeyValue], scale: Float, mask: AttentionMask, logSumExp: Bool
  ) throws(BackendError) -> [AttentionOutput] {
    let moved = 2 * queries.byteCount + keyValues.reduce(0) { $0 + $1.key.byteCount + $1.value.byteCount }
    let pairs = mask.pairs(
      batch: queries[0].shape[0], queries: queries.reduce(0) { $0 + $1.shape[1] },
      keys: keyValues.reduce(0) { $0 + $1.key.shape[1] })
    let width = Double(queries[0].shape[2] * queries[0].shape[3])
    return try recorded(.attention, operations: 4 * pairs * width, bytes: moved) { () throws(BackendError) in
      try base.attention(queries: queries, keyValues: keyValues, scale: scale, mask: mask, logSumExp: logSumExp)
    }
  }

  public func merged(_ a: AttentionOutput, _ b: AttentionOutput) throws(BackendError) -> AttentionOutput {
    try recorded(.mergeAttention, bytes: 3 * a.values.byteCount) { () throws(BackendError) in try base.merged(a, b) }
  }

  // MARK: Convolution

  public func causalConvolution(
    _ x: Tensor, weight: Weight, bias: Weight?, upsampling: Upsampling, residual: Tensor?
  ) throws(BackendError) -> Tensor {
    try recorded(convolving: x, with: weight, upsampling, residual) { () throws(BackendError) in
      try base.causalConvolution(x, weight: weight, bias: bias, upsampling: upsampling, residual: residual)
    }
  }

  public func causalConvolution(
    _ x: Tensor, after norm: GroupNormalization, weight: Weight, bias: Weight?, residual: Tensor?
  ) throws(BackendError) -> Tensor {
    // The statistics read the input once more.
    try recorded(convolving: x, with: weight, .none, residual, readsBefore: x.byteCount) { () throws(BackendError) in
      try base.causalConvolution(x, after: norm, weight: weight, bias: bias, residual: residual)
    }
  }

  @inline(__always)
  private func recorded(
    convolving x: Tensor, with weight: Weight, _ upsampling: Upsampling, _ residual: Tensor?, readsBefore: Int = 0,
    _ body: () throws(BackendError) -> Tensor
  ) throws(BackendError) -> Tensor {
    let positions =
      x.shape[0] * upsampling.frames(x.shape[2]) * x.shape[3] * x.shape[4] * upsampling.space * upsampling.space
    let written = positions * weight.shape[0] * activationType.byteCount
    return try recorded(
      .causalConvolution, operations: 2 * Double(positions) * Double(weight.shape.count),
      bytes: readsBefore + x.byteCount + weight.tensor.byteCount + written + (residual?.byteCount ?? 0), body)
  }

  // MARK: Elementwise

  public func activate(_ x: Tensor, _ activation: Activation) throws(BackendError) -> Tensor {
    try recorded(.activate, bytes: 2 * x.byteCount) { () throws(BackendError) in try base.activate(x, activation) }
  }

  public func gatedSiLU(gate: Tensor, _ x: Tensor) throws(BackendError) -> Tensor {
    try recorded(.gatedSiLU, bytes: 3 * x.byteCount) { () throws(BackendError) in try base.gatedSiLU(gate: gate, x) }
  }

  public func residual(_ x: Tensor, gate: Tensor?, _ y: Tensor) throws(BackendError) -> Tensor {
    try recorded(.residual, bytes: 3 * x.byteCount) { () throws(BackendError) in try base.residual(x, gate: gate, y) }
  }

  public func combination(_ a: Float, _ x: Tensor, _ b: Float, _ y: Tensor) throws(BackendError) -> Tensor {
    try recorded(.combination, bytes: 3 * x.byteCount) { () throws(BackendError) in try base.combination(a, x, b, y) }
  }

  // MARK: Layout

  public func contiguous(_ x: Tensor) throws(BackendError) -> Tensor {
    try recorded(.contiguous, bytes: x.isContiguous ? 0 : 2 * x.byteCount) { () throws(BackendError) in
      try base.contiguous(x)
    }
  }

  public func concatenate(_ tensors: [Tensor], axis: Int) throws(BackendError) -> Tensor {
    try recorded(.concatenate, bytes: 2 * tensors.byteCount) { () throws(BackendError) in
      try base.concatenate(tensors, axis: axis)
    }
  }

  // MARK: Reductions

  public func meanOverTokens(_ x: Tensor) throws(BackendError) -> Tensor {
    try recorded(.meanOverTokens, bytes: x.byteCount) { () throws(BackendError) in try base.meanOverTokens(x) }
  }

  public func absoluteSum(_ x: Tensor, minus y: Tensor?) throws(BackendError) -> Double {
    try recorded(.absoluteSum, bytes: x.byteCount + (y?.byteCount ?? 0)) { () throws(BackendError) in
      try base.absoluteSum(x, minus: y)
    }
  }

  public func isFinite(_ x: Tensor) throws(BackendError) -> Bool {
    try recorded(.isFinite, bytes: x.byteCount) { () throws(BackendError) in try base.isFinite(x) }
  }

  // MARK: Between operations

  public func synchronize() throws(BackendError) { try base.synchronize() }
  public func trim() { base.trim() }
}

extension [Tensor] {
  fileprivate var byteCount: Int { reduce(0) { $0 + $1.byteCount } }
}
