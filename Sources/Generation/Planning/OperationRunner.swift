import TensorCore
import TensorOps

/// Does a planned operation on a device, with numbers that do not matter, so that it can be timed.
struct OperationRunner {
  let backend: any Backend

  /// - Returns: the work, its inputs made; nil for operations that take no time worth knowing.
  func work(of operation: PlannedOperation) throws -> (() throws -> Void)? {
    let (e, backend) = (operation.extents, backend)
    switch operation.kind {
    case .linear: return try linear(operation)
    case .attention: return try attention(e)
    case .convolution: return try convolution(operation)
    case .groupNorm:
      let clip = try numbers(e[3] == 1 ? [e[0], 1, 1, e[2], e[1]] : [e[0], e[1], 1, 1, e[2]])
      let x = e[3] == 1 ? clip.permuted([0, 4, 1, 2, 3]) : clip
      let parameters = Weight(name: "norm", tensor: Tensor(repeating: 1, shape: [e[1]]))
      return {
        _ = try backend.groupNorm(x, groups: 1, weight: parameters, bias: parameters, epsilon: 1e-6, activation: .silu)
      }
    case .layerNorm:
      let (x, vector) = (try numbers([1, e[0], e[1]]), try numbers([1, e[1]]))
      return { _ = try backend.layerNorm(x, weight: nil, bias: nil, scale: vector, shift: vector, epsilon: 1e-6) }
    case .rmsNorm:
      let x = try numbers([1, e[0], e[1]])
      let weight = Weight(name: "norm", tensor: Tensor(repeating: 1, shape: [e[1]]))
      return { _ = try backend.rmsNorm(x, weight: weight, epsilon: 1e-6) }
    case .headNorm: return try headNorm(e)
    case .merged:
      let output = AttentionOutput(
        values: try numbers([1, e[0], e[1], e[2]]), logSumExp: Tensor(repeating: 0, shape: [1, e[1], e[0]]))
      return { _ = try backend.merged(output, output) }
    case .copy:
      // Two axes that change places, or rows that do.
      let rows = max(e[0] / e[1], 1)
      let side = max(Int(Double(rows).squareRoot()), 1)
      let x = try numbers([max(rows / side, 1), side, e[1]]).permuted([1, 0, 2])
      return { _ = try backend.concatenate([x], axis: 0) }
    case .activate, .gatedSiLU, .residual, .combination, .isFinite, .absoluteSum, .gatedResidual, .meanOverTokens:
      return try elementwise(operation)
    case .embedding, .kernel: return nil
    }
  }

  /// Weights take turns, as in a network, where each was used last a step ago: a small one would else stay in the cache.
  private func linear(_ operation: PlannedOperation) throws -> (() throws -> Void)? {
    let (e, backend) = (operation.extents, backend)
    let inputs = try parts(rows: e[0], width: e[1], count: e[3])
    let shape: Shape = [e[2], e[1]]
    let count = min(max(Self.weightElements / max(shape.count, 1), 1), Self.mostWeights)
    let weights = (0..<count).compactMap { _ in weight(shape, operation.format) }
    guard weights.count == count else { return nil }
    let bias = e[5] == 1 ? Weight(name: "probe", tensor: Tensor(repeating: 0, shape: [e[2]])) : nil
    let activation = Activation.allCases[e[4]]
    let stream =
      e[6] == 0
      ? nil : ResidualStream(try numbers([1, e[0], e[2]]), gate: e[6] == 2 ? try numbers([1, e[2]]) : nil)
    var turn = 0
    return {
      turn = (turn + 1) % count
      if let stream {
        _ = try backend.linear(inputs, weight: weights[turn], bias: bias, addedTo: stream)
      } else {
        _ = try backend.linear(inputs, weight: weights[turn], bias: bias, activation: activation)
      }
    }
  }

  /// More elements than a core's own caches hold, and a bound for very small weights.
  private static let (weightElements, mostWeights) = (4 << 20, 64)

  private func elementwise(_ operation: PlannedOperation) throws -> (() throws -> Void)? {
    let (e, backend) = (operation.extents, backend)
    let x = try numbers(e.count == 1 ? [e[0]] : [1, e[0], e[1]])
    let y = try numbers(x.shape)
    switch operation.kind {
    case .activate: return { _ = try backend.activate(x, .silu) }
    case .gatedSiLU: return { _ = try backend.gatedSiLU(gate: x, y) }
    case .residual: return { _ = try backend.residual(x, gate: nil, y) }
    case .combination: return { _ = try backend.combination(0.5, x, 0.5, y) }
    case .isFinite: return { _ = try backend.isFinite(x) }
    case .absoluteSum: return { _ = try backend.absoluteSum(x, minus: y) }
    case .gatedResidual:
      let gate = try numbers([1, e[1]])
      return { _ = try backend.residual(x, gate: gate, y) }
    case .meanOverTokens: return { _ = try backend.meanOverTokens(x) }
    default: return nil
    }
  }

  private func attention(_ e: [Int]) throws -> () throws -> Void {
    let backend = backend
    let query = try numbers([e[0], e[4], e[1], e[3]])
    let key = try numbers([e[0], e[5], e[2], e[3]])
    let mask = AttentionMask(causalBlock: e[6] > 0 ? e[6] : nil)
    return {
      _ = try backend.attention(
        queries: [query], keyValues: [KeyValue(key: key, value: key)], scale: 1, mask: mask, logSumExp: e[7] == 1)
    }
  }

  private func convolution(_ operation: PlannedOperation) throws -> (() throws -> Void)? {
    let (e, backend) = (operation.extents, backend)
    let x = try numbers([e[3], e[4], e[5], e[6], e[0]]).permuted([0, 4, 1, 2, 3])
    guard let weight = weight([e[1], e[0], e[2], e[2], e[2]], operation.format) else { return nil }
    let upsampling = Upsampling(time: e[7], space: e[8])
    let added =
      e[9] == 0
      ? nil
      : try numbers([e[3], upsampling.frames(e[4]), e[5] * e[8], e[6] * e[8], e[1]]).permuted([0, 4, 1, 2, 3])
    return {
      _ = try backend.causalConvolution(x, weight: weight, bias: nil, upsampling: upsampling, residual: added)
    }
  }

  private func headNorm(_ e: [Int]) throws -> () throws -> Void {
    let backend = backend
    // A view into a fused projection, as in the networks.
    let x = try numbers([1, e[0], 3, e[1] * e[2]]).select(2, 0).reshaped([1, e[0], e[1], e[2]])
    let weight = Weight(name: "norm", tensor: Tensor(repeating: 1, shape: [e[2]]))
    let table = Tensor(repeating: 0.5, shape: [e[0], e[2] / 2])
    let rotary = e[3] == 1 ? RotaryTable(cosines: table, sines: table, pairing: .interleaved) : nil
    return { _ = try backend.headNorm(x, weight: weight, epsilon: 1e-6, rotary: rotary) }
  }

  /// Does each kind of operation once, as small as it goes: code, libraries and threads are then in memory, as they will be in a
  /// run, and count as the program's own.
  static func loadCode(on backend: any Backend) throws {
    let runner = OperationRunner(backend: backend)
    for operation in smallest { try runner.work(of: operation)?() }
    // More than one matrix in a row, so that every thread has its working memory.
    for _ in 0..<4 {
      try runner.work(of: PlannedOperation(.linear, [256, 256, 1024, 1, 0, 0, 0], format: "bfloat16"))?()
    }
  }

  private static let smallest: [PlannedOperation] = [
    PlannedOperation(.linear, [64, 64, 64, 1, 2, 1, 0], format: "float32"),
    PlannedOperation(.linear, [2, 64, 64, 2, 1, 1, 0], format: "float16"),
    PlannedOperation(.linear, [64, 64, 64, 1, 0, 1, 2], format: "bfloat16"),
    PlannedOperation(.attention, [1, 4, 4, 32, 256, 256, 0, 0]),
    PlannedOperation(.attention, [1, 1, 1, 32, 64, 64, 16, 0]),
    PlannedOperation(.convolution, [8, 16, 3, 1, 2, 8, 8, 1, 1, 1], format: "float16"),
    PlannedOperation(.convolution, [8, 16, 3, 1, 2, 8, 8, 2, 2, 0], format: "float16"),
    PlannedOperation(.convolution, [8, 3, 3, 1, 2, 8, 8, 1, 1, 0], format: "float16"),
    PlannedOperation(.groupNorm, [1, 8, 128, 1]), PlannedOperation(.layerNorm, [64, 64]),
    PlannedOperation(.rmsNorm, [64, 64]), PlannedOperation(.headNorm, [64, 2, 32, 1]),
    PlannedOperation(.activate, [4096]), PlannedOperation(.gatedSiLU, [4096]), PlannedOperation(.residual, [4096]),
    PlannedOperation(.combination, [4096]), PlannedOperation(.isFinite, [4096]), PlannedOperation(.absoluteSum, [4096]),
    PlannedOperation(.gatedResidual, [64, 64]), PlannedOperation(.meanOverTokens, [64, 64]),
    PlannedOperation(.copy, [4096, 1]),
  ]

  // MARK: Inputs

  private func numbers(_ shape: Shape) throws -> Tensor { try backend.upload(Tensor(repeating: 0.5, shape: shape)) }

  private func parts(rows: Int, width: Int, count: Int) throws -> [Tensor] {
    if count == 1 { return [try numbers([1, rows, width])] }
    let plan = ShardPlan(count: width, parts: count)
    return try (0..<count).map { try numbers([1, rows, plan.size($0)]) }
  }

  /// A weight of a storage format, with zeros in it: their time is that of other numbers.
  private func weight(_ shape: Shape, _ format: String) -> Weight? {
    let name = "probe"
    func zeros(_ shape: Shape, _ dtype: DType) -> Tensor {
      let tensor = Tensor(uninitialized: shape, dtype)
      tensor.mutableHostPointer.initializeMemory(as: UInt8.self, repeating: 0, count: tensor.byteCount)
      return tensor
    }
    if let blocks = BlockFormat(rawValue: format) {
      let inputs = shape.count / max(shape[0], 1)
      guard shape.rank == 2, inputs % blocks.elementCount == 0 else { return nil }
      let bytes: Shape = [shape[0], inputs / blocks.elementCount * blocks.byteCount]
      return Weight(name: name, tensor: zeros(bytes, .uint8), encoding: .blocks(blocks))
    }
    let isScaled = format.hasSuffix(" scaled")
    guard let dtype = DType(rawValue: isScaled ? String(format.dropLast(7)) : format) else { return nil }
    return Weight(
      name: name, tensor: zeros(shape, dtype),
      encoding: isScaled ? .scaled(by: Tensor(repeating: 1, shape: [1])) : .plain)
  }
}
