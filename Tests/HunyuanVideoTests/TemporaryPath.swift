import Foundation

/// A folder that goes away with its value.
final class TemporaryPath {
  let path = NSTemporaryDirectory() + "hyvideo-networks-\(UUID().uuidString)"

  init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}
