/// A parameter of a network in the type it was published in. Operations widen it panel by panel; a float32 copy of
/// a whole checkpoint never exists. Quantized checkpoints differ from others in `encoding` alone.
public struct Weight: Sendable {
  /// How stored elements stand for numbers.
  public enum Encoding: Sendable {
    /// Each element is its own value.
    case plain
    /// Each element is multiplied by a factor: one for the tensor (shape `[1]`) or one per output row (`[rows]`), float32.
    case scaled(by: Tensor)
  }

  /// The name in the checkpoint, for messages.
  public let name: String
  /// Stored elements, dense in row-major order. A matrix is `[outputs, inputs]`.
  public let tensor: Tensor
  public let encoding: Encoding

  public init(name: String, tensor: Tensor, encoding: Encoding = .plain) {
    precondition(tensor.isContiguous, "weight \(name): \(tensor) is not contiguous")
    self.name = name
    self.tensor = tensor
    self.encoding = encoding
  }

  public var shape: Shape { tensor.shape }
  public var dtype: DType { tensor.dtype }

  /// The rows `range` of a matrix or the elements `range` of a vector, as a view: how a fused projection is divided.
  public func rows(_ range: Range<Int>) -> Weight {
    let part = tensor.slice(0, range)
    switch encoding {
    case .scaled(let factors) where factors.count > 1:
      return Weight(name: name, tensor: part, encoding: .scaled(by: factors.slice(0, range)))
    default:
      return Weight(name: name, tensor: part, encoding: encoding)
    }
  }

  /// The same elements read with another shape.
  public func reshaped(_ shape: Shape) -> Weight {
    Weight(name: name, tensor: tensor.reshaped(shape), encoding: encoding)
  }

  /// Says that this parameter will be needed soon.
  public func prefetch() { tensor.storage.prefetch(byteRange) }

  /// Says that this parameter will not be needed for a while.
  public func release() { tensor.storage.release(byteRange) }

  private var byteRange: Range<Int> {
    let start = tensor.offset * dtype.byteCount
    return start..<start + tensor.byteCount
  }
}
