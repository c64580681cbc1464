import StrictJSON

/// Takes out of the standard error of a launcher what it adds to the errors of ranks: paragraphs between lines of dashes, and
/// lines that begin with a host and a process as in `[node-a:4242]`. They are kept, and told where no rank has said why the run
/// failed.
struct LauncherNoise {
  private var line: [UInt8] = []
  private var isInside = false
  private var paragraphs: [String] = []
  private var hasError = false
  /// Whether the line under way has been passed on in part.
  private var isPassing = false

  /// How a rank begins to say why the run failed: anywhere, and over a bar of progress on a terminal.
  private static let prefixes = ["error: ", "\r\u{1B}[Kerror: "].map { Array($0.utf8) }
  private static let dashes = 20

  /// What of some bytes is for the user.
  mutating func passed(_ bytes: ArraySlice<UInt8>) -> String {
    var result: [UInt8] = []
    for byte in bytes {
      if byte == UInt8(ascii: "\r") && isPassing {
        // What is drawn over begins anew.
        isPassing = false
        line.removeAll()
      }
      line.append(byte)
      if byte == UInt8(ascii: "\n") {
        result += finishedLine()
      } else if isPassing || !mayBeNoise {
        // Progress comes without ends of lines.
        isPassing = true
        result.append(contentsOf: line)
        line.removeAll()
      }
    }
    return String(decoding: result, as: UTF8.self)
  }

  /// Whether the line under way may become one to hold back.
  private var mayBeNoise: Bool {
    if isInside { return true }
    let isDashes = line.allSatisfy { $0 == UInt8(ascii: "-") }
    return isDashes || Self.prefixes.contains { zip(line, $0).allSatisfy { $0 == $1 } }
      || Self.origin(of: line) != .none
  }

  private enum Origin { case none, begun, whole }

  /// Whether a line begins, or may go on to begin, with a host and a process.
  private static func origin(of line: [UInt8]) -> Origin {
    guard line.first == UInt8(ascii: "[") else { return .none }
    let inside = line.dropFirst().prefix { $0 != UInt8(ascii: "]") }
    let parts = inside.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
    let isHost = parts[0].allSatisfy {
      (0x30...0x39).contains($0) || (0x41...0x7A).contains($0) || "-.".utf8.contains($0)
    }
    let isProcess = parts.count < 2 || parts[1].allSatisfy { (0x30...0x39).contains($0) }
    if !isHost || !isProcess || parts.count > 2 { return .none }
    if inside.count + 1 == line.count { return .begun }
    return parts.count == 2 && !parts[0].isEmpty && !parts[1].isEmpty ? .whole : .none
  }

  private mutating func finishedLine() -> [UInt8] {
    defer {
      line.removeAll()
      isPassing = false
    }
    if isPassing { return line }
    let text = line.dropLast()
    if text.count >= Self.dashes && text.allSatisfy({ $0 == UInt8(ascii: "-") }) {
      isInside.toggle()
      if isInside { paragraphs.append("") }
      return []
    }
    if Self.prefixes.contains(where: { line.starts(with: $0) }) {
      hasError = true
      return line
    }
    if !isInside && Self.origin(of: line) == .whole {
      paragraphs.append(String(decoding: text, as: UTF8.self))
      return []
    }
    guard isInside, let last = paragraphs.indices.last else { return line }
    paragraphs[last] += String(decoding: text, as: UTF8.self) + " "
    return []
  }

  /// What is left to say: of a run that failed without a word, the signal that ended it or what the launcher said.
  mutating func end(hasFailed: Bool, status: Int32, stop: Int32) -> String {
    let rest = String(decoding: line, as: UTF8.self)
    if !hasFailed || hasError { return rest }
    if stop != 0 { return rest + "error: \(Interruption(signal: stop, consequence: nil))\n" }
    let reason = paragraphs.joined(separator: " ").split(whereSeparator: \.isWhitespace).joined(separator: " ")
    return rest + "error: the ranks have failed: mpirun: expected status 0, found \(status); "
      + (reason.isEmpty ? "it gave no reason" : reason.printable) + "\n"
  }
}
