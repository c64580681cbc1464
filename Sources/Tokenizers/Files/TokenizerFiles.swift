import StrictJSON

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Access to the files of one tokenizer folder.
enum TokenizerFiles {
  /// Far above any real tokenizer (LLaMA-3's is 9 MB); a bound on what a wrong path can make us allocate.
  static let largestFile = 256 << 20

  static func path(_ name: String, in folder: String) -> String {
    folder.hasSuffix("/") ? folder + name : folder + "/" + name
  }

  static func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

  /// The bytes of the file at `path`.
  static func contents(of path: String) throws(TokenizerError) -> [UInt8] {
    func unreadable(_ what: String, _ expected: String, _ found: String) -> TokenizerError {
      .unreadable(
        .init(what: what, file: path, expected: expected, found: found, remedy: TokenizerError.downloadAgain))
    }
    var isFolder = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw unreadable("tokenizer file is missing", "the file", "nothing there")
    }
    guard !isFolder else { throw unreadable("tokenizer file is a folder", "a file", "a folder") }
    do {
      let attributes = try FileManager.default.attributesOfItem(
        atPath: URL(filePath: path).resolvingSymlinksInPath().path)
      guard attributes[.type] as? FileAttributeType == .typeRegular else {
        throw unreadable("tokenizer file cannot be read", "a regular file", "a device or pipe")
      }
      let size = (attributes[.size] as? any BinaryInteger).map { UInt64(clamping: $0) } ?? 0
      guard size <= largestFile else {
        throw unreadable("tokenizer file is too large", "at most \(largestFile) bytes", "\(size) bytes")
      }
      // Foundation's own error is a dump of its fields.
      guard access(path, R_OK) == 0 else {
        throw unreadable("tokenizer file cannot be read", "a readable file", String(cString: strerror(errno)))
      }
      let bytes = [UInt8](try Data(contentsOf: URL(filePath: path)))
      // An empty list of merges is one.
      if let placeholder = Placeholder(bytes), placeholder != .nothing {
        throw TokenizerError.malformed(
          TokenizerError.Details(
            what: "tokenizer file is none", file: path, expected: "the file's contents", found: placeholder.rawValue,
            remedy: placeholder.remedy))
      }
      return bytes
    } catch let error as TokenizerError {
      throw error
    } catch {
      throw unreadable("tokenizer file cannot be read", "a readable file", "one that the system does not read")
    }
  }

  /// The parsed JSON object in the file at `path`, or an empty one where the file does not exist.
  static func optionalObject(at path: String) throws(TokenizerError) -> JSONValue {
    guard exists(path) else { return .object([:]) }
    return try JSONValue(parsing: contents(of: path), file: path)
  }
}
