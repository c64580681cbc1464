/// A typed view of shared storage: shape, element strides and an offset. Tensors are values; kernels write only into
/// tensors that they have just made. Operations on tensors are a backend's (`TensorOps`): there is no arithmetic here.
public struct Tensor: Sendable {
  public let shape: Shape
  public let dtype: DType
  /// Distance between neighbours along each axis, in elements.
  public let strides: [Int]
  /// The first element's position in the storage, in elements.
  public let offset: Int
  public let storage: any Storage

  /// A view of existing storage.
  /// - Precondition: every element lies inside the storage.
  public init(shape: Shape, dtype: DType, strides: [Int]? = nil, offset: Int = 0, storage: any Storage) {
    let strides = strides ?? shape.rowMajorStrides
    precondition(strides.count == shape.rank, "tensor: \(strides.count) strides for shape \(shape)")
    if shape.count > 0 {
      let last = zip(shape.dimensions, strides).reduce(offset) { $0 + ($1.0 - 1) * $1.1 }
      precondition(
        offset >= 0 && (last + 1) * dtype.byteCount <= storage.byteCount,
        "tensor: shape \(shape) of \(dtype) at element \(offset) does not fit \(storage.byteCount) bytes")
    }
    self.shape = shape
    self.dtype = dtype
    self.strides = strides
    self.offset = offset
    self.storage = storage
  }

  /// A dense host tensor with undefined contents, for a kernel to fill.
  public init(uninitialized shape: Shape, _ dtype: DType = .float32) {
    self.init(shape: shape, dtype: dtype, storage: HostStorage(byteCount: shape.count * dtype.byteCount))
  }

  /// The number of elements.
  public var count: Int { shape.count }

  /// The size of the elements in bytes, gaps between strides not counted.
  public var byteCount: Int { shape.count * dtype.byteCount }

  /// Whether elements follow each other in row-major order without gaps.
  public var isContiguous: Bool {
    var expected = 1
    for axis in stride(from: shape.rank - 1, through: 0, by: -1) where shape[axis] != 1 {
      if strides[axis] != expected { return false }
      // As in `Shape.rowMajorStrides`: an axis without elements counts as one.
      expected *= max(shape[axis], 1)
    }
    return true
  }
}

extension Tensor: CustomStringConvertible {
  public var description: String { "\(dtype)\(shape)" }
}
