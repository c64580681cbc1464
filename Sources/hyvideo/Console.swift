import StrictJSON

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The program's two streams. Progress that nobody can read must not end a run; a result that nobody gets is an error.
enum Console {
  /// Whether standard error is a terminal, or is passed on to one.
  static let hasTerminal = isatty(STDERR_FILENO) == 1 || RankLauncher.hasTerminal

  /// How many characters a line of the terminal has; 80 where it does not say.
  static var terminalWidth: Int {
    var size = winsize()
    return ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
  }

  /// Takes a line that is being drawn from a terminal.
  static let clearedLine = "\r\u{1B}[K"

  /// Writes text of any origin to standard error, with `printableLines` for what a terminal would obey. A closed pipe or descriptor is
  /// ignored.
  /// - Parameter overBar: takes the line that is being drawn away first, where there is a terminal.
  static func error(_ text: String, overBar: Bool = false) {
    draw((overBar && hasTerminal ? clearedLine : "") + text.printableLines)
  }

  /// Writes to standard error as it is: the program's own drawing, and what ranks have written so.
  static func draw(_ text: String) { _ = write(text, to: STDERR_FILENO) }

  /// Writes a text for people to standard output, with `printableLines`, and a line end.
  /// - Throws: `OutputFailure` where it cannot be written whole.
  static func result(_ text: String) throws { try print(text.printableLines) }

  /// Writes JSON to standard output, where what a terminal would obey is escaped.
  /// - Throws: `OutputFailure` where it cannot be written whole.
  static func result(json: String) throws { try print(json.printableJSON) }

  /// Tells where a file is that was written: as it is for programs, as a text on a terminal. With standard output closed from the
  /// beginning nobody asks: the file is the result.
  /// - Throws: `OutputFailure` where it cannot be told.
  static func written(path: String) throws { try written(isatty(STDOUT_FILENO) == 1 ? path.printable : path, print) }

  /// Tells of work whose result is a file.
  /// - Throws: `OutputFailure` where it cannot be told.
  static func written(_ text: String) throws { try written(text.printableLines, print) }

  private static func written(_ text: String, _ write: (String) throws -> Void) throws {
    if !StandardStreams.isOutputClosed { try write(text) }
  }

  private static func print(_ line: String) throws {
    if StandardStreams.isOutputClosed { throw OutputFailure(code: EBADF) }
    if let code = write(line + "\n", to: STDOUT_FILENO) { throw OutputFailure(code: code) }
  }

  /// Writes all bytes; returns the system's error number where it cannot.
  private static func write(_ text: String, to descriptor: Int32) -> Int32? {
    let bytes = Array(text.utf8)
    var position = 0
    while position < bytes.count {
      let count = bytes[position...].withUnsafeBytes { unistdWrite(descriptor, $0) }
      if count > 0 {
        position += count
      } else if errno != EINTR {
        return errno
      }
    }
    return nil
  }

  private static func unistdWrite(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
    #if canImport(Glibc)
      Glibc.write(descriptor, bytes.baseAddress, bytes.count)
    #else
      Musl.write(descriptor, bytes.baseAddress, bytes.count)
    #endif
  }
}

/// Standard output took no result.
struct OutputFailure: Error, CustomStringConvertible {
  let code: Int32

  var description: String {
    "cannot print the result: standard output: expected an open stream, found: \(String(cString: strerror(code))); "
      + "the files of the run are complete"
  }
}
