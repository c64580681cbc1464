public import TensorCore

/// A tensor as it lies in a checkpoint: a name, a type, a shape, and where its bytes are. Costs nothing until touched.
public struct CheckpointTensor: Sendable {
  public let name: String
  public let dtype: DType
  public let shape: Shape
  /// The path of the file that holds it, for messages.
  public let file: String
  private let storage: any Storage
  private let byteOffset: Int

  init(name: String, dtype: DType, shape: Shape, file: String, storage: any Storage, byteOffset: Int) {
    self.name = name
    self.dtype = dtype
    self.shape = shape
    self.file = file
    self.storage = storage
    self.byteOffset = byteOffset
  }

  /// The size of the elements in bytes.
  public var byteCount: Int { shape.count * dtype.byteCount }

  /// The elements: a view of the mapped file. Where they are not aligned to their size, an aligned copy that is made
  /// when the elements are first touched.
  public var tensor: Tensor {
    let size = dtype.byteCount
    if byteOffset % size == 0 {
      return Tensor(shape: shape, dtype: dtype, offset: byteOffset / size, storage: storage)
    }
    let copy = AlignedCopy(of: storage, bytes: byteOffset..<byteOffset + byteCount)
    return Tensor(shape: shape, dtype: dtype, storage: copy)
  }
}
