import COneDNN
import Synchronization
import TensorCore
import TensorOps

/// One of oneDNN's convolutions with its extents fixed. Any number of threads may run it at once.
final class ConvolutionPrimitive: @unchecked Sendable {
  // Sendable: oneDNN's primitives do not change when they run; their scratch memory is the caller's.
  struct Key: Hashable {
    let channels: Int
    let outputs: Int
    let kernel: KernelExtents
    let result: KernelExtents
    /// Whether results are added to what the destination holds.
    let accumulates: Bool
  }

  let key: Key
  private let engine: dnnl_engine_t
  private(set) var convolution = onednn_convolution()

  init(_ key: Key, _ engine: dnnl_engine_t) throws(BackendError) {
    self.key = key
    self.engine = engine
    // Created for one thread: its scratch memory and the way it divides its work depend on that.
    OneDNN.useCallingThreadOnly()
    let status = onednn_convolution_create(
      engine, Int32(key.channels), Int32(key.outputs), key.kernel.list, key.result.list, key.accumulates, &convolution)
    try OneDNN.check(status, "convolution")
  }

  deinit { onednn_convolution_destroy(&convolution) }

  var weightBytes: Int { convolution.weight_bytes }
  var scratchBytes: Int { convolution.scratch_bytes }

  func hasWeightLayout(of other: ConvolutionPrimitive) -> Bool {
    onednn_convolution_same_weights(&convolution, &other.convolution)
  }

  /// Brings a row-major kernel `[O, C, T, H, W]` into the layout that the convolution wants, `weightBytes` long.
  func pack(_ kernel: UnsafePointer<Float>, to packed: UnsafeMutablePointer<Float>) throws(BackendError) {
    OneDNN.useCallingThreadOnly()
    let status = withUnsafePointer(to: convolution) {
      onednn_convolution_pack(
        engine, $0, Int32(key.channels), Int32(key.outputs), key.kernel.list, kernel, packed)
    }
    try OneDNN.check(status, "convolution weights")
  }

  /// Convolves a dense window `[T, H, W, C]` into a dense result `[T', H', W', O]`, on the calling thread.
  func run(
    _ source: UnsafePointer<Float>, weights: UnsafePointer<Float>, bias: UnsafePointer<Float>,
    to result: UnsafeMutablePointer<Float>, scratch: UnsafeMutableRawPointer
  ) throws(BackendError) {
    let status = withUnsafePointer(to: convolution) {
      onednn_convolution_run(engine, $0, source, weights, bias, result, scratch)
    }
    try OneDNN.check(status, "convolution")
  }
}

/// What a convolution needs beside its input and result.
struct ConvolutionMemory {
  /// Of the weights in their own layout, and of working memory for each thread.
  let weightBytes: Int
  let scratchBytes: Int

  init(_ key: ConvolutionPrimitive.Key, _ engine: dnnl_engine_t) throws(BackendError) {
    OneDNN.useCallingThreadOnly()
    var convolution = onednn_convolution()
    let status = onednn_convolution_describe(
      engine, Int32(key.channels), Int32(key.outputs), key.kernel.list, key.result.list, key.accumulates, &convolution)
    try OneDNN.check(status, "convolution")
    (weightBytes, scratchBytes) = (convolution.weight_bytes, convolution.scratch_bytes)
    onednn_convolution_destroy(&convolution)
  }
}

extension KernelExtents {
  fileprivate var list: [Int32] { [Int32(time), Int32(height), Int32(width)] }
}

/// What a weight is packed for.
enum PackedForm: Hashable {
  case phase(ConvolutionPhase)
  case winograd
}

/// Convolutions and packed weights, kept for the next call with the same weight and extents.
final class ConvolutionCache: Sendable {
  private struct WeightKey: Hashable {
    let storage: ObjectIdentifier
    let offset: Int
    let type: DType
    let shape: Shape
    let form: PackedForm
  }

  private struct PackedWeight: @unchecked Sendable {
    // Sendable: packed once, read from then on.
    /// The storage that the weight came from: another may have its address once it is gone.
    weak var storage: (any Storage)?
    let primitive: ConvolutionPrimitive
    let packed: Scratch
    var lastUse: Int
  }

  private struct State {
    var engine: dnnl_engine_t?
    var primitives: [ConvolutionPrimitive.Key: ConvolutionPrimitive] = [:]
    var memory: [ConvolutionPrimitive.Key: ConvolutionMemory] = [:]
    var weights: [WeightKey: [PackedWeight]] = [:]
    var clock = 0
  }

  /// Bounds of what is kept. All packed weights of a full-size decoder are 0.65 GB, more than what a small tile needs beside them;
  /// packing a layer's anew for each tile costs a second of a tile's minutes.
  private static let mostPrimitives = 256
  static let mostWeightBytes = 128 << 20

  private let state: Mutex<State>

  init() { state = Mutex(State()) }

  deinit { state.withLock { state in if let engine = state.engine { dnnl_engine_destroy(engine) } } }

  func primitive(_ key: ConvolutionPrimitive.Key) throws(BackendError) -> ConvolutionPrimitive {
    try state.withLock { state throws(BackendError) in
      if let primitive = state.primitives[key] { return primitive }
      let engine = try OneDNN.engine(&state.engine)
      if state.primitives.count >= ConvolutionCache.mostPrimitives { state.primitives.removeAll() }
      let primitive = try ConvolutionPrimitive(key, engine)
      state.primitives[key] = primitive
      return primitive
    }
  }

  /// The memory that a convolution takes, found without making code for it: plans ask for hundreds that never run.
  func memory(of key: ConvolutionPrimitive.Key) throws(BackendError) -> ConvolutionMemory {
    try state.withLock { state throws(BackendError) in
      if let known = state.memory[key] { return known }
      let memory = try ConvolutionMemory(key, try OneDNN.engine(&state.engine))
      state.memory[key] = memory
      return memory
    }
  }

  /// The weight `[O, C, k, k, k]` folded for a phase, in the layout that a convolution wants.
  func weights(
    _ weight: Weight, _ phase: ConvolutionPhase, for primitive: ConvolutionPrimitive, on pool: WorkerPool
  ) throws(BackendError) -> Scratch {
    try kept(weight, .phase(phase), for: primitive) { () throws(BackendError) in
      let matrix = try WeightMatrix(weight, "causalConvolution")
      let taps = weight.shape[2]
      let volume = phase.kernel.time * phase.kernel.height * phase.kernel.width
      let folded = Scratch(count: matrix.rows * weight.shape[1] * volume)
      let grain = CPUBackend.rowGrain(matrix.columns)
      pool.parallelRanges(count: matrix.rows, grain: grain, scratch: matrix.columns) { rows, kernels in
        for row in rows {
          matrix.widen(rows: row..<row + 1, columns: 0..<matrix.columns, to: kernels, stride: matrix.columns)
          phase.fold(kernels, rows: weight.shape[1], taps: taps, to: folded.floats + row * weight.shape[1] * volume)
        }
      }
      let packed = Scratch(byteCount: primitive.weightBytes)
      try primitive.pack(UnsafePointer(folded.floats), to: packed.floats)
      return withExtendedLifetime(folded) { packed }
    }
  }

  /// The weight `[O, C, 3, 3, 3]` transformed, group by group of outputs and position by position, in the layout that the products
  /// want.
  func winogradWeights(
    _ weight: Weight, _ extents: WinogradExtents, for primitive: ConvolutionPrimitive, on pool: WorkerPool
  ) throws(BackendError) -> Scratch {
    try kept(weight, .winograd, for: primitive) { () throws(BackendError) in
      let matrix = try WeightMatrix(weight, "causalConvolution")
      let positions = WinogradExtents.positions * WinogradExtents.positions
      let folded = Scratch(count: extents.foldedCount)
      let packed = Scratch(count: extents.packedCount(weightBytes: primitive.weightBytes))
      let stride = extents.packedStride(weightBytes: primitive.weightBytes)
      let (kernels, part) = (3 * extents.channels, extents.foldedStride)
      for group in 0..<extents.groups {
        pool.parallelRanges(
          count: extents.group, grain: CPUBackend.rowGrain(matrix.columns), scratch: matrix.columns
        ) { rows, wide in
          for row in rows {
            let output = group * extents.group + row
            matrix.widen(rows: output..<output + 1, columns: 0..<matrix.columns, to: wide, stride: matrix.columns)
            WinogradKernel.transform(wide, count: kernels, to: folded.floats + row * kernels, stride: part)
          }
        }
        try pool.parallel(count: positions) { (position) throws(BackendError) in
          try primitive.pack(
            UnsafePointer(folded.floats + position * part),
            to: packed.floats + (group * positions + position) * stride)
        }
      }
      return withExtendedLifetime(folded) { packed }
    }
  }

  /// What is kept of a weight in a form, or else is made now.
  private func kept(
    _ weight: Weight, _ form: PackedForm, for primitive: ConvolutionPrimitive, make: () throws(BackendError) -> Scratch
  ) throws(BackendError) -> Scratch {
    let key = WeightKey(
      storage: ObjectIdentifier(weight.tensor.storage), offset: weight.tensor.offset, type: weight.dtype,
      shape: weight.shape, form: form)
    let kept: Scratch? = state.withLock { state in
      state.clock += 1
      state.weights[key]?.removeAll { $0.storage !== weight.tensor.storage }
      guard let index = state.weights[key]?.firstIndex(where: { $0.primitive.hasWeightLayout(of: primitive) })
      else { return nil }
      state.weights[key]?[index].lastUse = state.clock
      return state.weights[key]?[index].packed
    }
    if let kept { return kept }
    let packed = try make()
    state.withLock { state in
      let entry = PackedWeight(
        storage: weight.tensor.storage, primitive: primitive, packed: packed, lastUse: state.clock)
      state.weights[key, default: []].append(entry)
      ConvolutionCache.trim(&state)
    }
    return packed
  }

  /// Forgets weights that are gone, then those not used for longest, until the rest is within the bound.
  private static func trim(_ state: inout State) {
    for key in state.weights.keys { state.weights[key]?.removeAll { $0.storage == nil } }
    state.weights = state.weights.filter { !$0.value.isEmpty }
    var bytes = state.weights.values.joined().reduce(0) { $0 + 4 * $1.packed.count }
    while bytes > mostWeightBytes, state.weights.count > 1 {
      let oldest = state.weights.min { lastUse($0.value) < lastUse($1.value) }
      guard let oldest else { return }
      bytes -= oldest.value.reduce(0) { $0 + 4 * $1.packed.count }
      state.weights[oldest.key] = nil
    }
  }

  private static func lastUse(_ entries: [PackedWeight]) -> Int { entries.map(\.lastUse).max() ?? 0 }
}
