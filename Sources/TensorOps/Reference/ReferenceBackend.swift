public import TensorCore

/// The meaning of every operation in plain loops: float32 in and out, double precision in between, one rounding at the
/// end. It is what other backends are measured against, so it takes no short cut; small networks run on it in tests.
public struct ReferenceBackend: Backend {
  /// `reference`.
  public let name = "reference"
  /// Always float32.
  public let activationType = DType.float32

  /// A backend without state.
  public init() {}

  /// Converts to float32; a float32 tensor stays what it is.
  public func upload(_ tensor: Tensor) throws(BackendError) -> Tensor {
    precondition(tensor.dtype.isFloatingPoint, "upload: \(tensor) is not a floating-point tensor")
    return tensor.dtype == .float32 ? tensor : Tensor(tensor.floats(), shape: tensor.shape)
  }

  /// The tensor itself where it is dense, else a dense copy.
  public func download(_ tensor: Tensor) throws(BackendError) -> Tensor {
    tensor.isContiguous ? tensor : Tensor(read(tensor, "download"), shape: tensor.shape)
  }

  /// The weight itself.
  /// - Throws: `BackendError.unsupportedType` for elements that are not numbers of a supported type.
  public func adopt(_ weight: Weight) throws(BackendError) -> Weight {
    try weight.checkType(for: "adopt")
    return weight
  }

  /// The elements of an activation in row-major order; any strides.
  func read(_ x: Tensor, _ operation: String) -> [Float] {
    precondition(x.dtype == .float32, "\(operation): expected float32 activations, found \(x)")
    if !x.isContiguous { return x.floats() }
    var values = [Float](repeating: 0, count: x.count)
    values.withUnsafeMutableBytes {
      $0.copyMemory(from: UnsafeRawBufferPointer(start: x.hostPointer, count: x.byteCount))
    }
    return values
  }

  /// The numbers of a parameter that has to be `[count]`.
  func read(_ weight: Weight, count: Int, _ operation: String) throws(BackendError) -> [Float] {
    precondition(
      weight.shape == [count], "\(operation): \(weight.name) is \(weight.tensor), expected shape [\(count)]")
    return try weight.widened(for: operation)
  }

  /// Two activations of one shape.
  func read(_ x: Tensor, _ y: Tensor, _ operation: String) -> ([Float], [Float]) {
    precondition(x.shape == y.shape, "\(operation): \(x) and \(y) differ in shape")
    return (read(x, operation), read(y, operation))
  }
}
