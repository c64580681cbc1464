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

  fileprivate init(_ key: ConvolutionPrimitive.Key, _ engine: dnnl_engine_t) throws(BackendError) {
    OneDNN.useCallingThreadOnly()
    var convolution = onednn_convolution()
    let status = onednn_convolution_describe(
      engine, Int32(key.channels), Int32(key.outputs), key.kernel.list, key.result.list, key.accumulates, &convolution)
    try OneDNN.check(status, "convolution")
    (weightBytes, scratchBytes) = (convolution.weight_bytes, convolution.scratch_bytes)
    onednn_convolution_destroy(&convolution)
  }

  fileprivate init(_ primitive: ConvolutionPrimitive) {
    (weightBytes, scratchBytes) = (primitive.weightBytes, primitive.scratchBytes)
  }
}

extension KernelExtents {
  fileprivate var list: [Int32] { [Int32(time), Int32(height), Int32(width)] }
}

/// A convolution as kernels use it: ready to run, or in a plan known by the memory that it takes.
struct PreparedConvolution {
  let memory: ConvolutionMemory
  /// Nil in plans, which ask for hundreds that never run: oneDNN makes code for each.
  let primitive: ConvolutionPrimitive?

  var weightBytes: Int { memory.weightBytes }
  var scratchBytes: Int { memory.scratchBytes }

  func hasWeightLayout(of other: PreparedConvolution) -> Bool {
    guard let primitive, let other = other.primitive else { return true }
    return primitive.hasWeightLayout(of: other)
  }

  /// Convolves a dense window `[T, H, W, C]` into a dense result `[T', H', W', O]`, on the calling thread.
  func run(
    _ source: UnsafePointer<Float>, weights: UnsafePointer<Float>, bias: UnsafePointer<Float>,
    to result: UnsafeMutablePointer<Float>, scratch: UnsafeMutableRawPointer
  ) throws(BackendError) {
    try primitive?.run(source, weights: weights, bias: bias, to: result, scratch: scratch)
  }

  /// Brings a row-major kernel `[O, C, T, H, W]` into the layout that the convolution wants, `weightBytes` long.
  func pack(_ kernel: UnsafePointer<Float>, to packed: UnsafeMutablePointer<Float>) throws(BackendError) {
    try primitive?.pack(kernel, to: packed)
  }
}

/// oneDNN's convolutions, kept for the next call with the same extents.
final class ConvolutionLibrary: Sendable {
  private struct State {
    var engine: dnnl_engine_t?
    var primitives: [ConvolutionPrimitive.Key: ConvolutionPrimitive] = [:]
    var memory: [ConvolutionPrimitive.Key: ConvolutionMemory] = [:]
  }

  private static let mostPrimitives = 256

  private let state = Mutex(State())

  deinit { state.withLock { state in if let engine = state.engine { dnnl_engine_destroy(engine) } } }

  func convolution(
    _ key: ConvolutionPrimitive.Key, in workspace: Workspace
  ) throws(BackendError) -> PreparedConvolution {
    if !workspace.computes { return PreparedConvolution(memory: try memory(of: key), primitive: nil) }
    let primitive = try primitive(key)
    return PreparedConvolution(memory: ConvolutionMemory(primitive), primitive: primitive)
  }

  private func primitive(_ key: ConvolutionPrimitive.Key) throws(BackendError) -> ConvolutionPrimitive {
    try state.withLock { state throws(BackendError) in
      if let primitive = state.primitives[key] { return primitive }
      let engine = try OneDNN.engine(&state.engine)
      if state.primitives.count >= ConvolutionLibrary.mostPrimitives { state.primitives.removeAll() }
      let primitive = try ConvolutionPrimitive(key, engine)
      state.primitives[key] = primitive
      return primitive
    }
  }

  /// The memory that a convolution takes, found without making code for it.
  private func memory(of key: ConvolutionPrimitive.Key) throws(BackendError) -> ConvolutionMemory {
    try state.withLock { state throws(BackendError) in
      if let known = state.memory[key] { return known }
      let memory = try ConvolutionMemory(key, try OneDNN.engine(&state.engine))
      state.memory[key] = memory
      return memory
    }
  }
}
