public import TensorCore

/// Writes a GGUF file (version 3, little-endian), tensor by tensor. Not `Sendable`: one task writes.
///
/// The format of the ggml library, `docs/gguf.md`. Tensors of more than four axes, which the library does not have, are
/// written with their leading axes joined and a note of their extents, as ComfyUI's exporter does.
public final class GGUFWriter: WeightFileWriter {
  /// What a file will hold.
  public struct Entry: Sendable {
    public let name: String
    /// The type of numbers that are stored one by one; `uint8` for blocks.
    public let dtype: DType
    public let blocks: BlockFormat?
    /// In elements, outermost first.
    public let shape: Shape

    /// - Precondition: a row is a whole number of blocks.
    public init(name: String, dtype: DType, blocks: BlockFormat? = nil, shape: Shape) {
      precondition(
        blocks.map { shape.rank > 1 && shape.last % $0.elementCount == 0 } ?? true,
        "GGUF: \(name): rows of \(shape) are no whole blocks")
      (self.name, self.dtype, self.blocks, self.shape) = (name, dtype, blocks, shape)
    }

    var byteCount: Int {
      guard let blocks else { return shape.count * dtype.byteCount }
      return shape.count / blocks.elementCount * blocks.byteCount
    }

    /// The extents that the file tells: at most four.
    var storedDimensions: [Int] {
      if shape.rank <= 4 { return shape.dimensions }
      let joined = shape.dimensions.dropLast(3).reduce(1, *)
      return [joined] + shape.dimensions.suffix(3)
    }
  }

  /// A note of the file.
  public enum Note: Sendable {
    case text(String)
    case number(UInt32)
    case numbers([Int32])
  }

  private static let alignment = 32
  private let file: PartialFile
  private var pending: [String: (byteCount: Int, offset: Int, written: Int)] = [:]

  /// Creates the file beside its final place and writes the header.
  /// - Parameters:
  ///   - entries: All tensors to come, names distinct.
  ///   - notes: The file's metadata.
  /// - Throws: `CheckpointError.unwritable`.
  public init(path: String, entries: [Entry], notes: [(key: String, value: Note)]) throws(CheckpointError) {
    file = try PartialFile(path: path)
    let shapes = entries.filter { $0.shape.rank > 4 }.map { entry in
      (key: "comfy.gguf.orig_shape.\(entry.name)", value: Note.numbers(entry.shape.dimensions.map(Int32.init)))
    }
    var header = GGUFBytes()
    header.append(UInt32(0x4655_4747))
    header.append(UInt32(3))
    header.append(UInt64(entries.count))
    header.append(UInt64(notes.count + shapes.count))
    for (key, value) in notes + shapes { header.append(key, value) }
    var (offset, offsets) = (0, [Int]())
    for entry in entries {
      header.append(entry.name)
      header.append(UInt32(entry.storedDimensions.count))
      for extent in entry.storedDimensions.reversed() { header.append(UInt64(extent)) }
      header.append(GGUFType.number(of: entry.dtype, entry.blocks))
      header.append(UInt64(offset))
      offsets.append(offset)
      offset = Self.aligned(offset + entry.byteCount)
    }
    let start = Self.aligned(header.bytes.count)
    header.bytes.append(contentsOf: repeatElement(0, count: start - header.bytes.count))
    for (entry, offset) in zip(entries, offsets) {
      let previous = pending.updateValue((entry.byteCount, start + offset, 0), forKey: entry.name)
      precondition(previous == nil, "GGUF: the name \(entry.name) is taken")
      if entry.byteCount == 0 { pending[entry.name] = nil }
    }
    try file.write(header.bytes, at: 0)
    // The last tensor, too, is followed by zeros up to the alignment.
    if offset > 0 { try file.write([0], at: start + offset - 1) }
  }

  private static func aligned(_ count: Int) -> Int { (count + alignment - 1) / alignment * alignment }

  public func append(_ bytes: UnsafeRawBufferPointer, to name: String) throws(CheckpointError) {
    guard let (byteCount, offset, written) = pending[name] else {
      preconditionFailure("GGUF: \(name) was not announced or is already whole")
    }
    precondition(written + bytes.count <= byteCount, "GGUF: \(name) has \(byteCount) bytes, given more")
    try file.write(bytes, at: offset + written)
    pending[name] = written + bytes.count == byteCount ? nil : (byteCount, offset, written + bytes.count)
  }

  public func finish() throws(CheckpointError) {
    precondition(pending.isEmpty, "GGUF: \(pending.count) tensors of \(file.path) were not written")
    try file.finish()
  }
}

/// The primitive values of the format.
private struct GGUFBytes {
  var bytes: [UInt8] = []

  mutating func append<Value: FixedWidthInteger>(_ value: Value) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }

  mutating func append(_ text: String) {
    append(UInt64(text.utf8.count))
    bytes.append(contentsOf: text.utf8)
  }

  mutating func append(_ key: String, _ value: GGUFWriter.Note) {
    append(key)
    switch value {
    case .number(let number):
      append(UInt32(4))
      append(number)
    case .text(let text):
      append(UInt32(8))
      append(text)
    case .numbers(let numbers):
      append(UInt32(9))
      append(UInt32(5))
      append(UInt64(numbers.count))
      for number in numbers { append(number) }
    }
  }
}
