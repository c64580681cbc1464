import Foundation
import Generation
import StrictJSON
import Yams

/// A YAML file that may be anything: small, without references, and a mapping at the top.
struct ConfigurationFile {
  /// More than any recipe by far.
  private static let byteLimit = 1 << 16

  let top: ConfigurationSection

  init(contentsOf path: String) throws(RequestError) { try self.init(bytes: Self.bytes(path), file: path) }

  /// - Parameter path: the file's name, for messages.
  init(bytes: [UInt8], file path: String) throws(RequestError) {
    let text = try Self.text(bytes, path)
    if let name = Self.reference(in: text) {
      throw RequestError(
        "anchor in a configuration", at: path, expected: "every value written out", found: "&\(name) and *\(name)",
        remedy: "write the value where it is used")
    }
    let root: Node?
    do { root = try Parser(yaml: text).singleRoot() } catch {
      let (line, problem) = Self.described(error)
      throw RequestError(
        "unreadable configuration", at: path + line, expected: "YAML", found: Self.bare(problem).oneLine,
        remedy: "correct the file")
    }
    guard case .mapping(let mapping)? = root else {
      throw RequestError(
        "unreadable configuration", at: path, expected: "sections such as model_args and dit_cache",
        found: root == nil ? "an empty file" : "no mapping", remedy: "see docs/caches.md")
    }
    top = try ConfigurationSection(mapping, name: "", file: path)
  }

  private static func refused(
    _ path: String, found: String, remedy: String = "check --config"
  ) -> RequestError {
    RequestError(
      "unreadable configuration", at: path, expected: "a UTF-8 text file of at most \(byteLimit) bytes", found: found,
      remedy: remedy)
  }

  private static func bytes(_ path: String) throws(RequestError) -> [UInt8] {
    // To open a pipe that nobody writes to would wait for ever.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      throw refused(
        path, found: FileManager.default.fileExists(atPath: path) ? "a file that cannot be opened" : "nothing")
    }
    let handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    if poll(&entry, 1, 10_000) == 0 { throw refused(path, found: "a pipe that nobody writes to") }
    _ = fcntl(descriptor, F_SETFL, 0)
    do { return [UInt8](try handle.read(upToCount: byteLimit + 1) ?? Data()) } catch {
      throw refused(path, found: "no file that can be read")
    }
  }

  private static func text(_ bytes: [UInt8], _ path: String) throws(RequestError) -> String {
    if bytes.isEmpty { throw refused(path, found: "an empty file") }
    if bytes.count > byteLimit { throw refused(path, found: "more") }
    if bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF]) {
      throw refused(path, found: "UTF-16", remedy: "save it as UTF-8, for example with iconv -f UTF-16 -t UTF-8")
    }
    if let offset = firstInvalidUTF8(in: bytes) {
      let line = bytes[..<offset].count { $0 == UInt8(ascii: "\n") } + 1
      throw refused("\(path):\(line)", found: "other bytes", remedy: "save it as UTF-8")
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// A name that the text both defines (`&name`) and uses (`*name`). A few such lines, each using the one before
  /// twice, stand for more values than fit any memory.
  static func reference(in text: String) -> String? {
    func names(after mark: UInt8) -> Set<String> {
      Set(
        text.utf8.split(separator: mark, omittingEmptySubsequences: false).dropFirst().map { rest in
          String(
            Substring(
              rest.prefix { byte in
                let character = UnicodeScalar(byte)
                return byte < 128
                  && (character.properties.isAlphabetic || (48...57).contains(byte) || byte == 45 || byte == 95)
              }))
        }
      ).subtracting([""])
    }
    return names(after: UInt8(ascii: "&")).intersection(names(after: UInt8(ascii: "*"))).min()
  }

  /// The parser's words without those that the message has already.
  private static func bare(_ problem: String) -> String {
    var words = problem.split(separator: " ")
    while let first = words.first, ["but", "found"].contains(first) { words.removeFirst() }
    return words.joined(separator: " ")
  }

  /// Where and what the parser found.
  private static func described(_ error: any Error) -> (line: String, problem: String) {
    switch error as? YamlError {
    case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
      .composer(_, let problem, let mark, _):
      (":\(mark.line)", problem)
    case .duplicatedKeysInMapping(let keys, let context):
      (":\(context.mark.line)", "the key \(keys.first ?? "") twice")
    case .reader(let problem, _, _, _): ("", problem)
    default: ("", "something else")
    }
  }
}
