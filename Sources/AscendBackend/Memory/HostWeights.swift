import Dispatch
import TensorCore

/// Weights as dense numbers in host memory, in a type that the device has. What an NPU cannot hold is multiplied out here, by all cores:
/// pieces are of consecutive elements, and none depends on another.
enum HostWeights {
  /// Elements that a core takes at a time: whole blocks of every format, and few enough to stay in its cache as float32.
  private static let pieceCount = 1 << 16

  /// What the stored elements stand for. The same tensor where it is that already.
  /// - Parameter dtype: float32, bfloat16 or float16.
  static func dense(_ weight: Weight, as dtype: DType) -> Tensor {
    if case .plain = weight.encoding, weight.dtype == dtype { return weight.tensor }
    let result = Tensor(uninitialized: weight.shape, dtype)
    let count = result.count
    let factors = weight.factors
    DispatchQueue.concurrentPerform(iterations: (count + pieceCount - 1) / pieceCount) { piece in
      let range = piece * pieceCount..<min((piece + 1) * pieceCount, count)
      let target = result.mutableHostPointer
      if dtype == .float32 {
        let numbers = (target + 4 * range.lowerBound).assumingMemoryBound(to: Float.self)
        return read(range, of: weight, factors, to: numbers)
      }
      withUnsafeTemporaryAllocation(of: Float.self, capacity: range.count) { numbers in
        guard let address = numbers.baseAddress else { return }
        read(range, of: weight, factors, to: address)
        let halves = (target + 2 * range.lowerBound).assumingMemoryBound(to: UInt16.self)
        if dtype == .bfloat16 {
          for index in 0..<range.count { halves[index] = BFloat16(address[index]).bitPattern }
        } else {
          for index in 0..<range.count { halves[index] = Float16(address[index]).bitPattern }
        }
      }
    }
    return result
  }

  /// Some elements as float32.
  private static func read(
    _ range: Range<Int>, of weight: Weight, _ factors: [Float], to target: UnsafeMutablePointer<Float>
  ) {
    if case .blocks(let format) = weight.encoding {
      return format.widen(range, of: weight.tensor.hostPointer, to: target)
    }
    let source = weight.tensor.hostPointer + range.lowerBound * weight.dtype.byteCount
    switch weight.dtype {
    case .float32: convert(Float.self, source, range.count, target) { $0 }
    case .float64: convert(Double.self, source, range.count, target) { Float($0) }
    case .float16: convert(UInt16.self, source, range.count, target) { Float(Float16(bitPattern: $0)) }
    case .bfloat16: convert(UInt16.self, source, range.count, target) { Float(BFloat16(bitPattern: $0)) }
    case .float8E4M3: look(up: Float8.e4m3Values, source, range.count, target)
    case .float8E5M2: look(up: Float8.e5m2Values, source, range.count, target)
    case .int8: convert(Int8.self, source, range.count, target) { Float($0) }
    case .uint8, .bool: convert(UInt8.self, source, range.count, target) { Float($0) }
    case .int16: convert(Int16.self, source, range.count, target) { Float($0) }
    case .int32: convert(Int32.self, source, range.count, target) { Float($0) }
    case .int64: convert(Int64.self, source, range.count, target) { Float($0) }
    }
    guard case .scaled(_, let rounds) = weight.encoding, !factors.isEmpty else { return }
    let rowLength = max(weight.tensor.count / factors.count, 1)
    var index = range.lowerBound
    while index < range.upperBound {
      let row = index / rowLength
      let end = min((row + 1) * rowLength, range.upperBound)
      scale(target + (index - range.lowerBound), end - index, by: factors[row], rounds: rounds)
      index = end
    }
  }

  @inline(__always)
  private static func convert<Element>(
    _: Element.Type, _ source: UnsafeRawPointer, _ count: Int, _ target: UnsafeMutablePointer<Float>,
    _ number: (Element) -> Float
  ) {
    let size = MemoryLayout<Element>.size
    for index in 0..<count { target[index] = number((source + index * size).loadUnaligned(as: Element.self)) }
  }

  private static func look(
    up values: [Float], _ source: UnsafeRawPointer, _ count: Int, _ target: UnsafeMutablePointer<Float>
  ) {
    values.withUnsafeBufferPointer { values in
      for index in 0..<count { target[index] = values[Int(source.load(fromByteOffset: index, as: UInt8.self))] }
    }
  }

  private static func scale(_ numbers: UnsafeMutablePointer<Float>, _ count: Int, by factor: Float, rounds: Bool) {
    if rounds {
      for index in 0..<count { numbers[index] = Float(BFloat16(numbers[index] * factor)) }
    } else {
      for index in 0..<count { numbers[index] *= factor }
    }
  }
}

extension Weight {
  /// One for each row, one for all, or none.
  fileprivate var factors: [Float] {
    if case .scaled(let factors, _) = encoding { return factors.floats() }
    return []
  }
}
