/// A parameter of a network in the type it was published in. Operations widen it panel by panel; a float32 copy of
/// a whole checkpoint never exists. Quantized checkpoints differ from others in `encoding` alone.
public struct Weight: Sendable {
  /// How stored elements stand for numbers.
  public enum Encoding: Sendable {
    /// Each element is its own value.
    case plain
    /// Each element is multiplied by a factor: one for the tensor (shape `[1]`) or one per output row (`[rows]`), float32.
    /// Where a checkpoint was made for products in bfloat16, each product is rounded to that.
    case scaled(by: Tensor, roundsToBFloat16: Bool = false)
    /// The last axis holds the bytes of blocks (`uint8`).
    case blocks(BlockFormat)
  }

  /// The name in the checkpoint, for messages.
  public let name: String
  /// Stored elements, dense in row-major order. A matrix is `[outputs, inputs]`; of blocks, `[outputs, bytes]`.
  public let tensor: Tensor
  public let encoding: Encoding

  public init(name: String, tensor: Tensor, encoding: Encoding = .plain) {
    precondition(tensor.isContiguous, "weight \(name): \(tensor) is not contiguous")
    if case .blocks(let format) = encoding {
      precondition(
        tensor.dtype == .uint8 && tensor.shape.rank >= 2 && tensor.shape.last % format.byteCount == 0,
        "weight \(name): \(tensor) does not hold rows of \(format) blocks")
    }
    self.name = name
    self.tensor = tensor
    self.encoding = encoding
  }

  /// The shape of the parameter, in elements.
  public var shape: Shape {
    guard case .blocks(let format) = encoding else { return tensor.shape }
    return Shape(tensor.shape.dimensions.dropLast() + [tensor.shape.last / format.byteCount * format.elementCount])
  }

  /// The type of stored elements; `uint8` for blocks.
  public var dtype: DType { tensor.dtype }

  /// The rows `range` of a matrix or the elements `range` of a vector, as a view: how a fused projection is divided.
  public func rows(_ range: Range<Int>) -> Weight {
    let part = tensor.slice(0, range)
    switch encoding {
    case .scaled(let factors, let rounds) where factors.count > 1:
      let factors = factors.slice(0, range)
      return Weight(name: name, tensor: part, encoding: .scaled(by: factors, roundsToBFloat16: rounds))
    default:
      return Weight(name: name, tensor: part, encoding: encoding)
    }
  }

  /// The same elements read with another shape.
  /// - Precondition: the last extent of blocks stays what it is.
  public func reshaped(_ shape: Shape) -> Weight {
    var stored = shape
    if case .blocks = encoding {
      precondition(
        shape.rank >= 2 && shape.last == self.shape.last, "reshape: \(name): rows of blocks keep their length")
      stored = Shape(shape.dimensions.dropLast() + [tensor.shape.last])
    }
    return Weight(name: name, tensor: tensor.reshaped(stored), encoding: encoding)
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
