import StrictJSON
public import TensorCore

/// A tensor as it lies in a checkpoint: a name, a type, a shape, and where its bytes are. Costs nothing until touched.
public struct CheckpointTensor: Sendable {
  public let name: String
  /// The type of stored elements; `uint8` for blocks.
  public let dtype: DType
  /// The format of blocks, where elements are stored so.
  public let blocks: BlockFormat?
  /// The extents in elements, also for blocks.
  public let shape: Shape
  /// The path of the file that holds it, for messages.
  public let file: String
  private let storage: any Storage
  private let byteOffset: Int
  /// Where the elements are, seen from `byteOffset`, if they do not follow each other.
  private let strided: StridedBytes?

  init(
    name: String, dtype: DType, blocks: BlockFormat? = nil, shape: Shape, file: String, storage: any Storage,
    byteOffset: Int, strided: StridedBytes? = nil
  ) {
    self.name = name
    self.dtype = dtype
    self.blocks = blocks
    self.shape = shape
    self.file = file
    self.storage = storage
    self.byteOffset = byteOffset
    self.strided = strided
  }

  /// The same elements under another name.
  func renamed(_ name: String) -> CheckpointTensor {
    CheckpointTensor(
      name: name, dtype: dtype, blocks: blocks, shape: shape, file: file, storage: storage, byteOffset: byteOffset,
      strided: strided)
  }

  /// What elements are stored as: `bfloat16`, `Q4_K`.
  public var typeName: String { blocks?.description ?? dtype.description }

  /// The size of the elements in bytes.
  public var byteCount: Int { storedShape.count * dtype.byteCount }

  /// The extents in elements of `dtype`: for blocks, the last one counts bytes.
  private var storedShape: Shape {
    guard let blocks else { return shape }
    return Shape(shape.dimensions.dropLast() + [shape.last / blocks.elementCount * blocks.byteCount])
  }

  /// The stored elements, dense: a view of the mapped file. Where they are not aligned to their size or have gaps, a
  /// copy that is made when the elements are first touched.
  public var tensor: Tensor {
    let size = dtype.byteCount
    if strided == nil && byteOffset % size == 0 {
      return Tensor(shape: storedShape, dtype: dtype, offset: byteOffset / size, storage: storage)
    }
    let strided = strided ?? StridedBytes(dimensions: [byteCount], strides: [1], itemByteCount: 1)
    let copy = LazyCopy(byteCount: byteCount, of: storage, bytes: byteOffset..<byteOffset + strided.extent) {
      strided.gather(from: $0, to: $1)
    }
    return Tensor(shape: storedShape, dtype: dtype, storage: copy)
  }

  /// The stored elements as a parameter, without factors.
  var weight: Weight { Weight(name: name, tensor: tensor, encoding: blocks.map { .blocks($0) } ?? .plain) }

  /// The same elements with the extents that they had before a tool of fewer axes joined neighbouring ones, as tools of
  /// four axes do with convolutions of three dimensions. The order of the elements does not change.
  /// - Parameter expected: The extents of a convolution's weights, five.
  /// - Returns: nil where these are other elements, or another order of axes.
  func unfolded(to expected: Shape) -> CheckpointTensor? {
    guard expected.rank == 5, shape.rank < 5, shape.count == expected.count, shape.isJoined(from: expected) else {
      return nil
    }
    guard let blocks else {
      let dense = tensor
      return CheckpointTensor(
        name: name, dtype: dtype, shape: expected, file: file, storage: dense.storage,
        byteOffset: dense.offset * dtype.byteCount)
    }
    // A row of the original extents is no whole number of blocks: the few numbers of such a tensor are widened.
    let stored = tensor
    let start = stored.offset
    let count = shape.count
    let widened = LazyCopy(
      byteCount: count * DType.float32.byteCount, of: stored.storage, bytes: start..<start + stored.byteCount
    ) { source, target in
      guard let from = source.baseAddress, let to = target.baseAddress else { return }
      blocks.widen(0..<count, of: from, to: to.assumingMemoryBound(to: Float.self))
    }
    return CheckpointTensor(
      name: name, dtype: .float32, shape: expected, file: file, storage: widened, byteOffset: 0)
  }

  /// Undoes the order in which llama.cpp's exports have the rows of query and key projections: of each head, element
  /// `i` of the first half and element `i` of the second half follow each other. The result has the halves apart, as
  /// the model was trained. The rows are copied when they are first touched.
  /// - Parameter heads: The number of heads in this tensor.
  /// - Throws: `CheckpointError.malformed` where the rows are not heads of an even size.
  public func separatingHalves(heads: Int) throws(CheckpointError) -> CheckpointTensor {
    let rows = shape.rank == 0 ? 0 : shape[0]
    guard heads > 0, rows > 0, rows % (2 * heads) == 0 else {
      throw .malformed(
        file: file, place: "tensor \(name.oneLine)", expected: "rows of \(heads) heads of an even size",
        found: "\(shape)")
    }
    let stored = tensor
    let row = stored.byteCount / rows
    let half = rows / heads / 2
    let halves = StridedBytes(
      dimensions: [heads, 2, half, row], strides: [2 * half * row, row, 2 * row, 1], itemByteCount: 1)
    return CheckpointTensor(
      name: name, dtype: dtype, blocks: blocks, shape: shape, file: file, storage: stored.storage,
      byteOffset: stored.offset * dtype.byteCount, strided: halves)
  }
}

extension Shape {
  /// Whether these extents are products of neighbouring ones of another shape, in order.
  fileprivate func isJoined(from other: Shape) -> Bool {
    if count == 0 { return false }
    var rest = other.dimensions[...]
    for extent in dimensions {
      var product = 1
      while product < extent, let next = rest.popFirst() { product *= next }
      if product != extent { return false }
    }
    return rest.allSatisfy { $0 == 1 }
  }
}
