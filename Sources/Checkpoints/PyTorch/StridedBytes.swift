import TensorCore

/// Items at regular distances: what a view that is not dense consists of.
struct StridedBytes: Sendable {
  private let dimensions: [Int]
  /// Distances between neighbours along each axis, in bytes.
  private let strides: [Int]
  private let itemByteCount: Int

  /// - Parameters:
  ///   - dimensions: The extents, outermost first.
  ///   - strides: Distances in bytes, not negative.
  ///   - itemByteCount: The size of an item.
  init(dimensions: [Int], strides: [Int], itemByteCount: Int) {
    // Innermost axes whose items follow each other are one larger item.
    var kept = zip(dimensions, strides).filter { $0.0 != 1 }
    var size = itemByteCount
    while let (extent, stride) = kept.last, stride == size, extent > 0 {
      size *= extent
      kept.removeLast()
    }
    self.dimensions = kept.map { $0.0 }
    self.strides = kept.map { $0.1 }
    self.itemByteCount = size
  }

  /// The distance from the first byte to the end of the last item.
  var extent: Int {
    if dimensions.contains(0) { return 0 }
    return zip(dimensions, strides).reduce(itemByteCount) { $0 + ($1.0 - 1) * $1.1 }
  }

  /// The size of all items.
  var byteCount: Int { dimensions.reduce(itemByteCount, *) }

  /// Writes all items one after the other.
  func gather(from source: UnsafeRawBufferPointer, to target: UnsafeMutableRawBufferPointer) {
    precondition(source.count >= extent && target.count >= byteCount, "gather: items outside their memory")
    guard let from = source.baseAddress, let to = target.baseAddress, byteCount > 0 else { return }
    switch itemByteCount {
    case 1: gather(UInt8.self, from, to)
    case 2: gather(UInt16.self, from, to)
    case 4: gather(UInt32.self, from, to)
    case 8: gather(UInt64.self, from, to)
    default:
      forEachItem { offset, index in
        (to + index * itemByteCount).copyMemory(from: from + offset, byteCount: itemByteCount)
      }
    }
  }

  private func gather<Item: BitwiseCopyable>(_: Item.Type, _ from: UnsafeRawPointer, _ to: UnsafeMutableRawPointer) {
    let items = to.assumingMemoryBound(to: Item.self)
    forEachItem { offset, index in items[index] = (from + offset).loadUnaligned(as: Item.self) }
  }

  /// Calls `body` with the distance of each item and its number.
  @inline(__always)
  private func forEachItem(_ body: (_ offset: Int, _ index: Int) -> Void) {
    let (inner, step) = (dimensions.last ?? 1, strides.last ?? 0)
    var position = [Int](repeating: 0, count: max(dimensions.count - 1, 0))
    var (start, index) = (0, 0)
    while true {
      for item in 0..<inner {
        body(start + item * step, index)
        index += 1
      }
      var axis = position.count - 1
      while axis >= 0 {
        position[axis] += 1
        start += strides[axis]
        if position[axis] < dimensions[axis] { break }
        start -= position[axis] * strides[axis]
        position[axis] = 0
        axis -= 1
      }
      if axis < 0 { return }
    }
  }
}
