/// Takes out of the standard error of a launcher what it adds to the errors of ranks: paragraphs between lines of dashes. They
/// are kept, and told where no rank has said why the run failed.
struct LauncherNoise {
  private var line: [UInt8] = []
  private var isInside = false
  private var paragraphs: [String] = []
  private var hasError = false
  /// Whether the line under way has been passed on in part.
  private var isPassing = false

  private static let prefix = Array("error: ".utf8)
  private static let dashes = 20

  /// What of some bytes is for the user.
  mutating func passed(_ bytes: ArraySlice<UInt8>) -> String {
    var result: [UInt8] = []
    for byte in bytes {
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
    return isDashes || zip(line, Self.prefix).allSatisfy { $0 == $1 }
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
    if line.starts(with: Self.prefix) {
      hasError = true
      return line
    }
    guard isInside, let last = paragraphs.indices.last else { return line }
    paragraphs[last] += String(decoding: text, as: UTF8.self) + " "
    return []
  }

  /// What is left to say: of a run that failed without a word, what the launcher said.
  mutating func end(hasFailed: Bool, status: Int32) -> String {
    let rest = String(decoding: line, as: UTF8.self)
    if !hasFailed || hasError { return rest }
    let reason = paragraphs.joined(separator: " ").split(whereSeparator: \.isWhitespace).joined(separator: " ")
    return rest + "error: the ranks have failed: mpirun: expected status 0, found \(status); "
      + (reason.isEmpty ? "it gave no reason" : reason) + "\n"
  }
}
