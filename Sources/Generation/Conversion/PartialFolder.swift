import Checkpoints
import Foundation
import TensorCore

/// A folder that is being filled under a temporary name beside its place. It gets its own name when it is whole; one that is
/// given up before that is removed. Not `Sendable`: one task writes.
final class PartialFolder {
  let path: String
  /// Where files go.
  let temporaryPath: String
  private let cleanup: EmergencyCleanup
  private var isFinished = false

  /// - Throws: `CheckpointError.unwritable` where the place is taken by anything but an empty folder.
  init(path: String) throws(CheckpointError) {
    var trimmed = path
    while trimmed.count > 1, trimmed.hasSuffix("/") { trimmed.removeLast() }
    self.path = trimmed
    let temporaryPath = PartialName.make(for: trimmed)
    self.temporaryPath = temporaryPath
    cleanup = EmergencyCleanup { try? FileManager.default.removeItem(atPath: temporaryPath) }
    if let reason = Self.obstacle(at: trimmed) { throw .unwritable(file: trimmed, reason: reason) }
    for leftover in PartialName.leftovers(of: trimmed) { try? FileManager.default.removeItem(atPath: leftover) }
    try FileSystem.makeFolder(temporaryPath)
  }

  deinit { if !isFinished { try? FileManager.default.removeItem(atPath: temporaryPath) } }

  /// What is where a new folder is to be; nil where it can be.
  static func obstacle(at path: String) -> String? {
    guard FileManager.default.fileExists(atPath: path) else { return nil }
    if FileSystem.isFolder(path), let names = try? FileSystem.names(inFolder: path), names.isEmpty { return nil }
    return "something is there"
  }

  /// Puts the folder in its place; an empty folder there gives way.
  /// - Throws: `CheckpointError.unwritable`.
  func finish() throws(CheckpointError) {
    if rename(temporaryPath, path) != 0 {
      throw .unwritable(file: path, reason: String(cString: strerror(errno)))
    }
    isFinished = true
  }
}
