import Glibc
import StrictJSON

/// A file of prompts, one in each line, that may be a pipe and may be anything. It is read as a stream, in memory for its prompts
/// alone.
public struct PromptFile {
  /// The most prompts of a file.
  public static let promptLimit = 10_000
  /// The most bytes of a file.
  public static let byteLimit = 16 << 20

  private static let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]

  private let path: String
  private let longest: Int
  private var line: [UInt8] = []
  private var number = 1
  private var endsWithReturn = false
  /// The prompts so far.
  private var prompts: [String] = []

  private init(_ path: String, longest: Int) { (self.path, self.longest) = (path, longest) }

  /// The lines that are not blank, without spaces at their ends. A line ends with LF, CR LF or CR; other characters that begin a line
  /// for a reader are part of a prompt.
  /// - Parameters:
  ///   - longest: the most bytes of a prompt.
  ///   - isShared: whether other processes read the same file, which a pipe cannot serve.
  ///   - waiting: is told each second that nothing has come.
  /// - Throws: `RequestError` where the file is no such text, and what `waiting` throws.
  public static func prompts(
    in path: String, longest: Int, isShared: Bool = false, waiting: (_ seconds: Int) throws -> Void = { _ in }
  ) throws -> [String] {
    var file = PromptFile(path, longest: longest)
    let descriptor = try file.open(isShared: isShared)
    defer { close(descriptor) }
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    var total = 0
    while true {
      try wait(for: descriptor, waiting)
      let count = read(descriptor, &buffer, buffer.count)
      if count == 0 { break }
      if count < 0 {
        if [EINTR, EAGAIN].contains(errno) { continue }
        throw file.refused(found: String(cString: strerror(errno)))
      }
      total += count
      try file.take(buffer[..<count])
      if total > byteLimit { throw file.refused("at most \(byteLimit >> 20) MiB of text", found: "more") }
    }
    if !file.line.isEmpty { try file.endLine() }
    if file.prompts.isEmpty {
      throw RequestError(
        "no prompts", at: path, expected: "one prompt per line", found: total == 0 ? "an empty file" : "blank lines",
        remedy: "write what each video shows in a line")
    }
    return file.prompts
  }

  /// Waits until something can be read, or all has been.
  private static func wait(for descriptor: Int32, _ waiting: (Int) throws -> Void) throws {
    var seconds = 0
    while true {
      var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      let ready = poll(&entry, 1, 1000)
      if ready > 0 || (ready < 0 && errno != EINTR) { return }
      if ready == 0 { seconds += 1 }
      try waiting(seconds)
    }
  }

  private func open(isShared: Bool) throws(RequestError) -> Int32 {
    var information = stat()
    guard stat(path, &information) == 0 else {
      throw refused(found: errno == ENOENT ? "nothing" : String(cString: strerror(errno)))
    }
    let kind = information.st_mode & S_IFMT
    if kind == S_IFDIR { throw refused(found: "a folder") }
    if isShared && kind != S_IFREG {
      throw refused("a file that every rank can read", found: "a pipe or device", remedy: "write the prompts to a file")
    }
    // A pipe that nobody has opened for writing yet must not block here, where nobody could say so.
    let descriptor = Glibc.open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    if descriptor >= 0 { return descriptor }
    let reason = String(cString: strerror(errno))
    // A socket has a path and can only be read by those who have it open.
    if kind == S_IFSOCK, let number = openDescriptor, case let copy = dup(number), copy >= 0 { return copy }
    throw refused(found: "a file that cannot be opened: \(reason)")
  }

  /// The descriptor that a path such as `/dev/fd/3` stands for.
  private var openDescriptor: Int32? {
    if path == "/dev/stdin" { return STDIN_FILENO }
    let folders = ["/dev/fd/", "/proc/self/fd/"]
    return folders.first { path.hasPrefix($0) }.flatMap { Int32(path.dropFirst($0.count)) }
  }

  // MARK: Lines

  private mutating func take(_ bytes: ArraySlice<UInt8>) throws(RequestError) {
    for byte in bytes {
      let followsReturn = endsWithReturn
      endsWithReturn = byte == 0x0D
      switch byte {
      case 0x0A where followsReturn: continue
      case 0x0A, 0x0D:
        try endLine()
        number += 1
      case 0:
        throw isUTF16 ? utf16 : unreadable("a zero byte", remedy: "save the file as UTF-8; no prompt holds a zero byte")
      default:
        line.append(byte)
        if line.count > longest + Self.byteOrderMark.count {
          throw refused(
            "prompts of at most \(longest) bytes", found: "a longer one in line \(number)",
            remedy: "shorten it: the networks see 256 tokens at most")
        }
      }
    }
  }

  private mutating func endLine() throws(RequestError) {
    defer { line.removeAll(keepingCapacity: true) }
    if number == 1 {
      if isUTF16 { throw utf16 }
      if line.starts(with: Self.byteOrderMark) { line.removeFirst(Self.byteOrderMark.count) }
    }
    if firstInvalidUTF8(in: line) != nil {
      throw unreadable("other bytes", remedy: "save the file as UTF-8")
    }
    let text = Substring(decoding: line, as: UTF8.self)
    if text.allSatisfy(\.isWhitespace) { return }
    let isBlank = { (scalar: Unicode.Scalar) in scalar == "\t" || scalar.properties.generalCategory == .spaceSeparator }
    let scalars = text.unicodeScalars.drop(while: isBlank)
    let end = scalars.lastIndex { !isBlank($0) }.map(scalars.index(after:)) ?? scalars.endIndex
    prompts.append(String(Substring(scalars[..<end])))
    if prompts.count > Self.promptLimit {
      throw refused("at most \(Self.promptLimit) prompts", found: "more", remedy: "split the file")
    }
  }

  // MARK: Refusals

  private var isUTF16: Bool { number == 1 && [[0xFF, 0xFE], [0xFE, 0xFF]].contains { line.starts(with: $0) } }

  private var utf16: RequestError {
    refused(found: "UTF-16", remedy: "save it as UTF-8, for example with iconv -f UTF-16 -t UTF-8")
  }

  private func unreadable(_ what: String, remedy: String) -> RequestError {
    refused(found: "\(what) in line \(number)", remedy: remedy)
  }

  private func refused(
    _ expected: String = "a UTF-8 text with one prompt per line", found: String, remedy: String = "check --prompt-file"
  ) -> RequestError {
    RequestError("cannot read prompts", at: path, expected: expected, found: found, remedy: remedy)
  }
}
