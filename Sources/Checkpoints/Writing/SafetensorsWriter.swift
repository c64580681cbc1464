public import TensorCore

/// Writes a safetensors file, tensor by tensor, so that they need not be in memory together. It appears under its name
/// only when it is whole: `finish` renames it, and a writer that goes before that removes what it wrote. Not `Sendable`:
/// one task writes.
public final class SafetensorsWriter: WeightFileWriter {
  /// What a file will hold.
  public struct Entry: Sendable {
    public let name: String
    public let dtype: DType
    public let shape: Shape

    public init(name: String, dtype: DType, shape: Shape) {
      self.name = name
      self.dtype = dtype
      self.shape = shape
    }
  }

  private let file: PartialFile
  private var pending: [String: (entry: Entry, offset: Int, written: Int)] = [:]

  /// Creates the file beside its final place and writes the header.
  /// - Parameters:
  ///   - entries: All tensors to come, names distinct.
  ///   - metadata: The strings of `__metadata__`.
  /// - Throws: `CheckpointError.unwritable`.
  public init(path: String, entries: [Entry], metadata: [String: String] = [:]) throws(CheckpointError) {
    file = try PartialFile(path: path)
    // Wide types first: with the header padded to 8 bytes, every tensor is then aligned to its element size.
    let sizes = Set(entries.map(\.dtype.byteCount)).sorted(by: >)
    let sorted = sizes.flatMap { size in entries.filter { $0.dtype.byteCount == size } }
    let header = SafetensorsWriter.header(sorted, metadata)
    var offset = header.count
    for entry in sorted {
      let previous = pending.updateValue((entry, offset, 0), forKey: entry.name)
      precondition(previous == nil && entry.name != "__metadata__", "safetensors: the name \(entry.name) is taken")
      offset += entry.shape.count * entry.dtype.byteCount
    }
    try file.write(header, at: 0)
  }

  /// Writes one tensor, in any order.
  /// - Precondition: `tensor` is contiguous host memory of the announced type and shape, and is written once.
  /// - Throws: `CheckpointError.unwritable`.
  public func write(_ name: String, _ tensor: Tensor) throws(CheckpointError) {
    guard let (entry, offset, written) = pending.removeValue(forKey: name), written == 0 else {
      preconditionFailure("safetensors: \(name) was not announced or is written twice")
    }
    precondition(
      tensor.shape == entry.shape && tensor.dtype == entry.dtype && tensor.isContiguous,
      "safetensors: \(name): announced \(entry.dtype)\(entry.shape) contiguous, given \(tensor)")
    if tensor.byteCount == 0 { return }
    try file.write(UnsafeRawBufferPointer(start: tensor.hostPointer, count: tensor.byteCount), at: offset)
  }

  public func append(_ bytes: UnsafeRawBufferPointer, to name: String) throws(CheckpointError) {
    guard let (entry, offset, written) = pending[name] else {
      preconditionFailure("safetensors: \(name) was not announced or is already whole")
    }
    let size = entry.shape.count * entry.dtype.byteCount
    precondition(written + bytes.count <= size, "safetensors: \(name) has \(size) bytes, given more")
    try file.write(bytes, at: offset + written)
    pending[name] = written + bytes.count == size ? nil : (entry, offset, written + bytes.count)
  }

  public func finish() throws(CheckpointError) {
    precondition(pending.isEmpty, "safetensors: \(pending.count) tensors of \(file.path) were not written")
    try file.finish()
  }

  /// Ends the file with holes for what was not written: it has its directory and its size, and reads as zeros there.
  /// - Throws: `CheckpointError.unwritable`.
  public func finishWithHoles() throws(CheckpointError) {
    let end = pending.values.reduce(0) { max($0, $1.offset + $1.entry.shape.count * $1.entry.dtype.byteCount) }
    pending.removeAll()
    if end > 0 { try file.write([0], at: end - 1) }
    try file.finish()
  }

  /// Writes a whole file.
  /// - Precondition: names are distinct, tensors contiguous and in host memory.
  /// - Throws: `CheckpointError.unwritable`.
  public static func write(
    _ tensors: [(name: String, tensor: Tensor)], metadata: [String: String] = [:], to path: String
  ) throws(CheckpointError) {
    let entries = tensors.map { Entry(name: $0.name, dtype: $0.tensor.dtype, shape: $0.tensor.shape) }
    let writer = try SafetensorsWriter(path: path, entries: entries, metadata: metadata)
    for (name, tensor) in tensors { try writer.write(name, tensor) }
    try writer.finish()
  }

  /// The length and the JSON text, padded with spaces to a multiple of 8 bytes.
  private static func header(_ entries: [Entry], _ metadata: [String: String]) -> [UInt8] {
    var members: [String] = []
    if !metadata.isEmpty {
      let pairs = metadata.sorted { $0.key < $1.key }.map { "\(quoted($0.key)):\(quoted($0.value))" }
      members.append("\"__metadata__\":{\(pairs.joined(separator: ","))}")
    }
    var offset = 0
    for entry in entries {
      let end = offset + entry.shape.count * entry.dtype.byteCount
      let shape = entry.shape.dimensions.map(String.init).joined(separator: ",")
      let type = SafetensorsType.name(of: entry.dtype)
      members.append(
        "\(quoted(entry.name)):{\"dtype\":\"\(type)\",\"shape\":[\(shape)],\"data_offsets\":[\(offset),\(end)]}")
      offset = end
    }
    var text = Array("{\(members.joined(separator: ","))}".utf8)
    text.append(contentsOf: repeatElement(0x20, count: (8 - text.count % 8) % 8))
    return withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) } + text
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\":
        result += "\\"
        result.unicodeScalars.append(scalar)
      case "\u{0}"..<" ":
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
