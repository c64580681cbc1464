import Foundation

/// A folder of its own for one test, removed afterwards.
final class TemporaryFolder {
  let path: String

  /// - Parameter inMemory: Whether the folder is one that no disk is behind, where the system has such.
  init(inMemory: Bool = false) throws {
    let memory = "/dev/shm/"
    let parent = inMemory && FileManager.default.isWritableFile(atPath: memory) ? memory : NSTemporaryDirectory()
    path = parent + "checkpoints-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func path(_ name: String) -> String { path + "/" + name }

  /// Writes a file and returns its path.
  @discardableResult
  func write(_ bytes: [UInt8], _ name: String = "model.safetensors") throws -> String {
    try Data(bytes).write(to: URL(fileURLWithPath: path(name)))
    return path(name)
  }

  @discardableResult
  func write(_ text: String, _ name: String) throws -> String { try write(Array(text.utf8), name) }

  /// Writes a safetensors file as it is given, however wrong.
  func write(header: String, dataByteCount: Int = 0, _ name: String = "model.safetensors") throws -> String {
    try write(Safetensors.file(header: header, dataByteCount: dataByteCount), name)
  }

  /// Makes a file shorter or longer; a new part takes no room on the disk.
  func resize(_ path: String, to byteCount: Int) throws {
    let handle = try FileHandle(forUpdating: URL(fileURLWithPath: path))
    try handle.truncate(atOffset: UInt64(byteCount))
    try handle.close()
  }

  /// Replaces bytes in the middle of a file.
  func overwrite(_ path: String, _ bytes: [UInt8], at offset: Int) throws {
    let handle = try FileHandle(forUpdating: URL(fileURLWithPath: path))
    try handle.seek(toOffset: UInt64(offset))
    try handle.write(contentsOf: Data(bytes))
    try handle.close()
  }

  var names: [String] { (try? FileManager.default.contentsOfDirectory(atPath: path).sorted()) ?? [] }
}

/// Hand-made safetensors files.
enum Safetensors {
  /// Length, header text, and data 0, 1, 2, ….
  static func file(header: String, dataByteCount: Int) -> [UInt8] {
    file(length: UInt64(header.utf8.count), Array(header.utf8) + (0..<dataByteCount).map { UInt8($0 & 0x7F) })
  }

  static func file(length: UInt64, _ rest: [UInt8]) -> [UInt8] {
    withUnsafeBytes(of: length.littleEndian) { Array($0) } + rest
  }

  /// One member of the header.
  static func entry(_ name: String, _ dtype: String, _ shape: String, _ begin: Int, _ end: Int) -> String {
    "\"\(name)\":{\"dtype\":\"\(dtype)\",\"shape\":\(shape),\"data_offsets\":[\(begin),\(end)]}"
  }
}
