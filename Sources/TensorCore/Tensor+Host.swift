// Reading and filling tensors in host memory.

extension Tensor {
  /// A float32 host tensor with the given elements in row-major order.
  public init(_ values: [Float], shape: Shape) {
    precondition(values.count == shape.count, "tensor: \(values.count) values for shape \(shape)")
    self.init(uninitialized: shape, .float32)
    values.withUnsafeBytes {
      UnsafeMutableRawBufferPointer(start: mutableHostPointer, count: $0.count).copyMemory(from: $0)
    }
  }

  /// An int32 host tensor with the given elements in row-major order.
  public init(_ values: [Int32], shape: Shape) {
    precondition(values.count == shape.count, "tensor: \(values.count) values for shape \(shape)")
    self.init(uninitialized: shape, .int32)
    values.withUnsafeBytes {
      UnsafeMutableRawBufferPointer(start: mutableHostPointer, count: $0.count).copyMemory(from: $0)
    }
  }

  /// A float32 host tensor filled with one value.
  public init(repeating value: Float, shape: Shape) {
    self.init(uninitialized: shape, .float32)
    mutableHostPointer.bindMemory(to: Float.self, capacity: shape.count).update(repeating: value, count: shape.count)
  }

  /// The address of the first element.
  /// - Precondition: the storage is in host memory.
  public var hostPointer: UnsafeRawPointer { UnsafeRawPointer(mutableHostPointer) }

  /// The address of the first element, for the kernel that has just made this tensor.
  public var mutableHostPointer: UnsafeMutableRawPointer {
    guard let address = storage.hostAddress else {
      precondition(storage.byteCount == 0, "tensor: the elements of \(self) are not in host memory")
      // An address that is never read: there are no elements.
      return HostStorage.empty
    }
    return address + offset * dtype.byteCount
  }

  /// The elements in row-major order, converted to `Float`. For tests, reports and small tensors.
  public func floats() -> [Float] {
    let values = elementOffsets()
    let base = hostPointer
    func read<Element>(_: Element.Type, _ convert: (Element) -> Float) -> [Float] {
      let size = MemoryLayout<Element>.size
      return values.map { convert((base + $0 * size).loadUnaligned(as: Element.self)) }
    }
    return switch dtype {
    case .float32: read(Float.self) { $0 }
    case .float64: read(Double.self) { Float($0) }
    case .float16: read(UInt16.self) { Float(Float16(bitPattern: $0)) }
    case .bfloat16: read(UInt16.self) { Float(BFloat16(bitPattern: $0)) }
    case .float8E4M3: read(UInt8.self) { Float8.e4m3($0) }
    case .float8E5M2: read(UInt8.self) { Float8.e5m2($0) }
    case .int8: read(Int8.self) { Float($0) }
    case .uint8, .bool: read(UInt8.self) { Float($0) }
    case .int16: read(Int16.self) { Float($0) }
    case .int32: read(Int32.self) { Float($0) }
    case .int64: read(Int64.self) { Float($0) }
    }
  }

  /// The elements in row-major order as integers.
  /// - Precondition: the type is an integer type.
  public func integers() -> [Int] {
    let base = hostPointer
    func read<Element: FixedWidthInteger>(_: Element.Type) -> [Int] {
      elementOffsets().map { Int((base + $0 * MemoryLayout<Element>.size).loadUnaligned(as: Element.self)) }
    }
    switch dtype {
    case .int8: return read(Int8.self)
    case .uint8, .bool: return read(UInt8.self)
    case .int16: return read(Int16.self)
    case .int32: return read(Int32.self)
    case .int64: return read(Int64.self)
    default: preconditionFailure("integers: \(self) does not hold integers")
    }
  }

  /// Positions of all elements relative to the first, in row-major order.
  private func elementOffsets() -> [Int] {
    var offsets = [0]
    if count == 0 { return [] }
    for axis in 0..<shape.rank {
      let stride = strides[axis]
      offsets = offsets.flatMap { base in (0..<shape[axis]).map { base + $0 * stride } }
    }
    return offsets
  }
}
