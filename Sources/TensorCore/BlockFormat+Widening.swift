extension BlockFormat {
  /// Writes elements of consecutive blocks as float32, exactly as `values(ofBlock:)` gives them, but quickly.
  /// - Parameters:
  ///   - elements: Which of them; they may begin and end inside blocks.
  ///   - blocks: The address of the first block; it needs no alignment.
  public func widen(_ elements: Range<Int>, of blocks: UnsafeRawPointer, to target: UnsafeMutablePointer<Float>) {
    StoredBlocks.widen(self, columns: elements, of: blocks, to: target)
  }
}

/// Widens blocks of GGUF files. Loops over the elements of one block are simple enough for the compiler to make vector
/// instructions of. `BlockFormat.values(ofBlock:)` says in plain words what each computes.
private enum StoredBlocks {
  /// The largest number of elements of a block.
  private static let largest = 256

  static func widen(
    _ format: BlockFormat, columns: Range<Int>, of row: UnsafeRawPointer, to target: UnsafeMutablePointer<Float>
  ) {
    switch format {
    case .q40: widen(columns, row, target, 32, 18) { widenQ40($0, $1) }
    case .q41: widen(columns, row, target, 32, 20) { widenQ41($0, $1) }
    case .q50: widen(columns, row, target, 32, 22) { widenQ50($0, $1) }
    case .q51: widen(columns, row, target, 32, 24) { widenQ51($0, $1) }
    case .q80: widen(columns, row, target, 32, 34) { widenQ80($0, $1) }
    case .q2K: widen(columns, row, target, 256, 84) { widenQ2K($0, $1) }
    case .q3K: widen(columns, row, target, 256, 110) { widenQ3K($0, $1) }
    case .q4K: widen(columns, row, target, 256, 144) { widenQ4K($0, $1) }
    case .q5K: widen(columns, row, target, 256, 176) { widenQ5K($0, $1) }
    case .q6K: widen(columns, row, target, 256, 210) { widenQ6K($0, $1) }
    case .iq4NL: withTable { table in widen(columns, row, target, 32, 18) { widenIQ4NL($0, $1, table) } }
    case .iq4XS: withTable { table in widen(columns, row, target, 256, 136) { widenIQ4XS($0, $1, table) } }
    }
  }

  @inline(__always)
  private static func widen(
    _ columns: Range<Int>, _ row: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>, _ elementCount: Int,
    _ byteCount: Int, _ block: (UnsafeRawPointer, UnsafeMutablePointer<Float>) -> Void
  ) {
    var column = columns.lowerBound
    while column < columns.upperBound {
      let (index, first) = column.quotientAndRemainder(dividingBy: elementCount)
      let source = row + index * byteCount
      let place = target + (column - columns.lowerBound)
      let count = min(elementCount - first, columns.upperBound - column)
      if count == elementCount {
        block(source, place)
      } else {
        withUnsafeTemporaryAllocation(of: Float.self, capacity: largest) { whole in
          guard let values = whole.baseAddress else { return }
          block(source, values)
          place.update(from: values + first, count: count)
        }
      }
      column += count
    }
  }

  @inline(__always)
  private static func half(_ address: UnsafeRawPointer) -> Float {
    Float(Float16(bitPattern: address.loadUnaligned(as: UInt16.self)))
  }

  @inline(__always)
  private static func byte(_ address: UnsafeRawPointer, _ index: Int) -> Int32 {
    Int32(address.load(fromByteOffset: index, as: UInt8.self))
  }

  @inline(__always)
  private static func widenQ80(_ block: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>) {
    let scale = half(block)
    for index in 0..<32 {
      target[index] = scale * Float((block + 2).load(fromByteOffset: index, as: Int8.self))
    }
  }

  @inline(__always)
  private static func widenQ40(_ block: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>) {
    let scale = half(block)
    for index in 0..<16 {
      let both = byte(block + 2, index)
      target[index] = scale * Float((both & 15) &- 8)
      target[index + 16] = scale * Float((both &>> 4) &- 8)
    }
  }

  @inline(__always)
  private static func widenQ41(_ block: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>) {
    let (scale, offset) = (half(block), half(block + 2))
    for index in 0..<16 {
      let both = byte(block + 4, index)
      target[index] = scale * Float(both & 15) + offset
      target[index + 16] = scale * Float(both &>> 4) + offset
    }
  }

  /// The fifth bits of 32 elements.
  @inline(__always)
  private static func fifthBits(_ address: UnsafeRawPointer) -> Int32 { address.loadUnaligned(as: Int32.self) }

  @inline(__always)
  private static func widenQ50(_ block: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>) {
    let (scale, high) = (half(block), fifthBits(block + 2))
    for index in 0..<16 {
      let both = byte(block + 6, index)
      let bit = Int32(truncatingIfNeeded: index)
      target[index] = scale * Float((both & 15 | ((high &>> bit) & 1) &<< 4) &- 16)
      target[index + 16] = scale * Float((both &>> 4 | ((high &>> (bit &+ 16)) & 1) &<< 4) &- 16)
    }
  }

  @inline(__always)
  private static func widenQ51(_ block: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>) {
    let (scale, offset, high) = (half(block), half(block + 2), fifthBits(block + 4))
    for index in 0..<16 {
      let both = byte(block + 8, index)
      let bit = Int32(truncatingIfNeeded: index)
      target[index] = scale * Float(both & 15 | ((high &>> bit) & 1) &<< 4) + offset
      target[index + 16] = scale * Float(both &>> 4 | ((high &>> (bit &+ 16)) & 1) &<< 4) + offset
    }
  }

  /// Factor and subtrahend of the `part`-th 32 elements of a block of 256.
  @inline(__always)
  private static func scales(_ block: UnsafeRawPointer, _ part: Int) -> (scale: Float, minimum: Float) {
    let packed = UnsafeRawBufferPointer(start: block + 4, count: 12)
    let (scale, minimum) = BlockFormat.scaleAndMinimum(part, packed: packed, from: 0)
    return (half(block) * Float(scale), half(block + 2) * Float(minimum))
  }

  /// Parts of 16 elements with one factor each: 8 of these share 32 bytes, four times two bits of each.
  @inline(__always)
  private static func widenQ2K(_ block: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>) {
    let (whole, wholeMinimum) = (half(block + 80), half(block + 82))
    for part in 0..<16 {
      let both = byte(block, part)
      let (scale, minimum) = (whole * Float(both & 15), wholeMinimum * Float(both &>> 4))
      let (source, place) = (block + 16 + part / 8 * 32 + part % 2 * 16, target + 16 * part)
      let shift = Int32(truncatingIfNeeded: part % 8 / 2 * 2)
      for index in 0..<16 { place[index] = scale * Float((byte(source, index) &>> shift) & 3) - minimum }
    }
  }

  @inline(__always)
  private static func widenQ3K(_ block: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>) {
    let whole = half(block + 108)
    let packed = UnsafeRawBufferPointer(start: block + 96, count: 12)
    for part in 0..<16 {
      let scale = whole * Float(BlockFormat.scale(part, packed: packed, from: 0))
      let (source, place) = (block + 32 + part / 8 * 32 + part % 2 * 16, target + 16 * part)
      let high = block + part % 2 * 16
      let shift = Int32(truncatingIfNeeded: part % 8 / 2 * 2)
      let highShift = Int32(truncatingIfNeeded: part / 2)
      for index in 0..<16 {
        let number = (byte(source, index) &>> shift) & 3 | ((byte(high, index) &>> highShift) & 1) &<< 2
        place[index] = scale * Float(number &- 4)
      }
    }
  }

  /// The table's address, so that loops count no references.
  @inline(__always)
  private static func withTable(_ body: (UnsafePointer<Float>) -> Void) {
    BlockFormat.tableOfSixteen.withUnsafeBufferPointer { if let table = $0.baseAddress { body(table) } }
  }

  @inline(__always)
  private static func widenIQ4NL(
    _ block: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>, _ table: UnsafePointer<Float>
  ) {
    places(half(block), block + 2, target, table)
  }

  @inline(__always)
  private static func widenIQ4XS(
    _ block: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>, _ table: UnsafePointer<Float>
  ) {
    let (whole, high) = (half(block), Int32((block + 2).loadUnaligned(as: UInt16.self)))
    for part in 0..<8 {
      let low = byte(block + 4, part / 2) &>> Int32(truncatingIfNeeded: part % 2 * 4) & 15
      let upper = high &>> Int32(truncatingIfNeeded: 2 * part) & 3
      places(whole * Float(low | upper &<< 4 &- 32), block + 8 + 16 * part, target + 32 * part, table)
    }
  }

  /// 32 elements as places in a table: the lower halves of 16 bytes, then the upper ones.
  @inline(__always)
  private static func places(
    _ scale: Float, _ bytes: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>, _ table: UnsafePointer<Float>
  ) {
    for index in 0..<16 {
      let both = byte(bytes, index)
      target[index] = scale * table[Int(both & 15)]
      target[index + 16] = scale * table[Int(both &>> 4)]
    }
  }

  @inline(__always)
  private static func widenQ4K(_ block: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>) {
    for pair in 0..<4 {
      let (low, high) = (scales(block, 2 * pair), scales(block, 2 * pair + 1))
      let (bytes, place) = (block + 16 + 32 * pair, target + 64 * pair)
      for index in 0..<32 {
        let both = byte(bytes, index)
        place[index] = low.scale * Float(both & 15) - low.minimum
        place[index + 32] = high.scale * Float(both &>> 4) - high.minimum
      }
    }
  }

  @inline(__always)
  private static func widenQ5K(_ block: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>) {
    for pair in 0..<4 {
      let (low, high) = (scales(block, 2 * pair), scales(block, 2 * pair + 1))
      let (bytes, place) = (block + 48 + 32 * pair, target + 64 * pair)
      let shift = Int32(truncatingIfNeeded: 2 * pair)
      for index in 0..<32 {
        let both = byte(bytes, index)
        let bits = byte(block + 16, index) &>> shift
        place[index] = low.scale * Float(both & 15 | (bits & 1) &<< 4) - low.minimum
        place[index + 32] = high.scale * Float(both &>> 4 | (bits & 2) &<< 3) - high.minimum
      }
    }
  }

  @inline(__always)
  private static func widenQ6K(_ block: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>) {
    let whole = half(block + 208)
    for part in 0..<16 {
      // 16 elements with one factor: 8 of these parts share 64 bytes of low bits and 32 of high ones.
      let (group, place) = (part / 8, part % 8)
      let scale = whole * Float((block + 192).load(fromByteOffset: part, as: Int8.self))
      let low = block + group * 64 + place % 4 * 16
      let high = block + 128 + group * 32 + place % 2 * 16
      let lowShift = Int32(truncatingIfNeeded: place / 4 * 4)
      let highShift = Int32(truncatingIfNeeded: place / 2 * 2)
      for index in 0..<16 {
        let number = (byte(low, index) &>> lowShift) & 15 | ((byte(high, index) &>> highShift) & 3) &<< 4
        target[16 * part + index] = scale * Float(number &- 32)
      }
    }
  }
}
