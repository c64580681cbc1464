public import TensorCore

extension Weight {
  /// The numbers of some rows of a matrix, or elements of a vector, in row-major order: one panel of a parameter that
  /// need not fit in memory.
  /// - Precondition: the elements are in host memory.
  public func numbers(ofRows range: Range<Int>) -> [Float] {
    let part = shape.rank == 0 ? self : rows(range)
    let count = part.shape.count
    if case .blocks(let format) = part.encoding {
      let bytes = UnsafeRawBufferPointer(start: part.tensor.hostPointer, count: part.tensor.byteCount)
      return stride(from: 0, to: bytes.count, by: format.byteCount).flatMap {
        format.values(ofBlock: UnsafeRawBufferPointer(rebasing: bytes[$0..<$0 + format.byteCount]))
      }
    }
    var result = [Float](repeating: 0, count: count)
    let bytes = UnsafeRawBufferPointer(start: part.tensor.hostPointer, count: part.tensor.byteCount)
    result.withUnsafeMutableBufferPointer { target in
      switch part.dtype {
      case .float32: for index in 0..<count { target[index] = bytes.element(index, as: Float.self) }
      case .float16:
        for index in 0..<count { target[index] = Float(Float16(bitPattern: bytes.element(index, as: UInt16.self))) }
      case .bfloat16:
        for index in 0..<count {
          target[index] = Float(bitPattern: UInt32(bytes.element(index, as: UInt16.self)) << 16)
        }
      case .float8E4M3:
        Float8.e4m3Values.withUnsafeBufferPointer { table in
          for index in 0..<count { target[index] = table[Int(bytes[index])] }
        }
      case .int8: for index in 0..<count { target[index] = Float(Int8(bitPattern: bytes[index])) }
      case .float64, .float8E5M2, .uint8, .int16, .int32, .int64, .bool:
        for (index, value) in part.tensor.floats().enumerated() { target[index] = value }
      }
    }
    if case .scaled(let tensor, _) = part.encoding {
      let factors = tensor.floats()
      let width = count / max(range.count, 1)
      for index in 0..<count { result[index] *= factors.count == 1 ? factors[0] : factors[index / width] }
    }
    return result
  }
}

extension UnsafeRawBufferPointer {
  @inline(__always)
  fileprivate func element<Value: BitwiseCopyable>(_ index: Int, as type: Value.Type) -> Value {
    loadUnaligned(fromByteOffset: index * MemoryLayout<Value>.size, as: type)
  }
}
