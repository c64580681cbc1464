public import TensorCore
public import TensorOps

/// The operations on a processor's cores: oneDNN's matrix products and convolutions on tiles that our own threads
/// share out, SIMD kernels for the rest. Activations are float32; weights keep their stored type and are widened tile
/// by tile. Results have channels last in memory where the operation is faster that way, and operations keep the order of
/// axes that they find.
public final class CPUBackend: Backend {
  public let name = "cpu"
  public let activationType = DType.float32

  /// How many threads compute.
  public var threads: Int { workspace.threads }

  let workspace: Workspace
  /// What linear layers round their inputs to.
  public let precision: ProductPrecision

  let convolutions: ConvolutionLibrary
  let packedWeights = PackedWeights()
  let products: ProductCache

  /// - Parameters:
  ///   - threads: How many threads compute; by default the cores that the system grants the process.
  ///   - precision: What linear layers round their inputs to.
  public init(threads: Int? = nil, precision: ProductPrecision = .unrounded) {
    self.precision = precision
    precondition(threads ?? 1 > 0, "CPU backend: \(threads ?? 0) threads")
    workspace = Workspace(threads: threads ?? AvailableCores.count)
    (convolutions, products) = (ConvolutionLibrary(), ProductCache())
  }

  /// One that plans the operations of another.
  init(imagining work: ImaginedWork, like backend: CPUBackend) {
    workspace = Workspace(threads: backend.threads, imagined: work)
    (precision, convolutions, products) = (backend.precision, backend.convolutions, backend.products)
  }

  /// Threads that the system did not give; the others do their part.
  public var missingThreads: Int { workspace.missingThreads }

  /// The version of oneDNN that is linked: `2.6.3`.
  public static var libraryVersion: String { OneDNN.version }

  /// Converts to float32; a float32 tensor stays what it is.
  public func upload(_ tensor: Tensor) throws(BackendError) -> Tensor {
    precondition(tensor.dtype.isFloatingPoint, "upload: \(tensor) is not a floating-point tensor")
    if tensor.dtype == .float32 { return tensor }
    return workspace.computes ? Tensor(tensor.floats(), shape: tensor.shape) : workspace.tensor(tensor.shape)
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
  public func trim() { workspace.trim() }
}
