public import TensorCore
public import TensorOps

/// What the inputs of linear layers are rounded to before they are multiplied, and of attention for bfloat16; everything else is float32.
public enum ProductPrecision: String, Sendable, CaseIterable {
  /// Not rounded.
  case float32 = "fp32"
  /// To bfloat16, where a layer's weights are bfloat16 numbers: an approximation, fast where the processor has instructions for it.
  case bfloat16 = "bf16"
  /// To 8-bit integers, with a factor for each token, where a layer's weights are such integers with factors: likewise.
  case int8 = "int8"
}

/// The operations on a processor's cores: oneDNN's matrix products and convolutions on tiles that our own threads
/// share out, SIMD kernels for the rest. Activations are float32; weights keep their stored type and are widened tile
/// by tile. Results have channels last in memory where the operation is faster that way, and operations keep the order of
/// axes that they find.
public final class CPUBackend: Backend {
  public let name = "cpu"
  public let activationType = DType.float32

  /// How many threads compute.
  public var threads: Int { pool.threads }

  let pool: WorkerPool
  /// What linear layers round their inputs to.
  public let precision: ProductPrecision

  let convolutions = ConvolutionCache()
  let products = ProductCache()

  /// - Parameters:
  ///   - threads: How many threads compute; by default the cores that the system grants the process.
  ///   - precision: What linear layers round their inputs to.
  public init(threads: Int? = nil, precision: ProductPrecision = .float32) {
    self.precision = precision
    precondition(threads ?? 1 > 0, "CPU backend: \(threads ?? 0) threads")
    pool = .shared(threads: threads ?? AvailableCores.count)
  }

  /// Threads that the system did not give; the others do their part.
  public var missingThreads: Int { pool.missingWorkers }

  /// The version of oneDNN that is linked: `2.6.3`.
  public static var libraryVersion: String { OneDNN.version }

  /// Converts to float32; a float32 tensor stays what it is.
  public func upload(_ tensor: Tensor) throws(BackendError) -> Tensor {
    precondition(tensor.dtype.isFloatingPoint, "upload: \(tensor) is not a floating-point tensor")
    return tensor.dtype == .float32 ? tensor : Tensor(tensor.floats(), shape: tensor.shape)
  }

  /// The tensor itself where it is dense in row-major order, else a copy.
  public func download(_ tensor: Tensor) throws(BackendError) -> Tensor { try contiguous(tensor) }

  /// The weight itself: operations read the stored elements.
  /// - Throws: `BackendError.unsupportedType` for elements that are not numbers of a supported type.
  public func adopt(_ weight: Weight) throws(BackendError) -> Weight {
    _ = try StoredType(of: weight, "adopt")
    return weight
  }

  /// Gives the threads' working memory and kept blocks back to the system.
  public func trim() {
    pool.releaseArenas()
    HostBufferPool.shared.trim()
  }
}
