#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The `ffmpeg` program that encodes and decodes. Look for it before work that takes long: a missing program should
/// not cost a finished video.
public struct FFmpeg: Sendable, Equatable {
  /// The environment variable that names an `ffmpeg` other than the first on the search path.
  public static let overrideVariable = "HYVIDEO_FFMPEG"

  /// The environment variable that says after how many seconds without a sign of life the program is given up.
  public static let patienceVariable = "HYVIDEO_FFMPEG_TIMEOUT"
  /// Otherwise this long. The end of a long video of large frames takes minutes.
  private static let usualPatience = 900
  /// For questions about the program itself.
  private static let shortPatience = 60

  /// The longest text output of a query that is kept, in bytes.
  private static let queryLimit = 64 << 20

  /// Where the program is.
  public let path: String
  /// Asked while the program is waited for: whether nobody wants the result any more.
  public var isStopped: @Sendable () -> Bool = { false }

  init(path: String) { self.path = path }

  public static func == (first: FFmpeg, second: FFmpeg) -> Bool { first.path == second.path }

  /// Looks for the program: where `override` says (a path, or a name to be searched), otherwise `ffmpeg` in the
  /// folders of `searchPath`. Both default to the environment's `HYVIDEO_FFMPEG` and `PATH`.
  /// - Throws: `VideoIOError.ffmpegMissing`.
  public static func find(
    override: String? = environmentValue(overrideVariable), searchPath: String? = environmentValue("PATH")
  ) throws(VideoIOError) -> FFmpeg {
    let name: String
    let source: String
    if let override, !override.isEmpty {
      name = override
      source = "\(overrideVariable)=\(override)"
    } else {
      name = "ffmpeg"
      source = "PATH"
    }
    if name.contains("/") {
      if isProgram(name) { return FFmpeg(path: name) }
    } else {
      for folder in (searchPath ?? "").split(separator: ":") where isProgram("\(folder)/\(name)") {
        return FFmpeg(path: "\(folder)/\(name)")
      }
    }
    throw .ffmpegMissing(searched: source)
  }

  /// The value of an environment variable, nil when it is not set.
  public static func environmentValue(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

  /// Checks that this program was built with an encoder, `libx264` for mp4 files.
  /// - Throws: `VideoIOError.encoderMissing` with the H.264 encoders that there are; `cannotStart`;
  ///   `encoderFailed` when the program does not run.
  public func requireEncoder(_ encoder: String = "libx264") throws(VideoIOError) {
    let answer = try query(["-encoders"], isShort: true)
    if answer.termination != .exited(0) {
      throw .encoderFailed(path: path, frames: 0, status: answer.termination.words, detail: answer.errors)
    }
    let names = String(decoding: answer.output, as: UTF8.self).split(whereSeparator: \.isNewline)
      .compactMap { line in
        let words = line.split(separator: " ")
        return words.count > 1 ? String(words[1]) : nil
      }
    if names.contains(encoder) { return }
    let alternatives = names.filter { $0.hasPrefix("h264_") || $0 == "libx264" || $0 == "libopenh264" }
    throw .encoderMissing(encoder: encoder, ffmpeg: path, alternatives: alternatives)
  }

  /// The program's version as it prints it, `5.1.6-0+deb12u1`; nil where it says none.
  public func version() throws(VideoIOError) -> String? {
    let line = String(decoding: try query(["-version"], isShort: true).output.prefix(1000), as: UTF8.self)
    let words = line.split(whereSeparator: \.isWhitespace)
    return words.count > 2 && words[1] == "version" ? String(words[2]) : nil
  }

  /// What the program answered to a question.
  struct Answer {
    let termination: ChildProcess.Termination
    let output: [UInt8]
    let errors: String
  }

  /// Runs the program to its end and returns what it printed, at most 64 MiB of it.
  /// - Parameter isShort: whether the answer takes no time.
  /// - Throws: `VideoIOError.cannotStart`, `stalled` or `stopped`.
  func query(_ arguments: [String], isShort: Bool = false) throws(VideoIOError) -> Answer {
    let child = try start(arguments, connection: .output, isShort: isShort)
    var output: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while output.count < FFmpeg.queryLimit {
      let count = chunk.withUnsafeMutableBytes { child.read(into: $0) }
      if count == 0 { break }
      output.append(contentsOf: chunk[..<count])
    }
    let termination = child.finish()
    if let failure = failure(child.abandonment, with: "a question about it") { throw failure }
    return Answer(termination: termination, output: output, errors: child.errorText)
  }

  /// Starts the program with quiet, non-interactive settings before the arguments.
  func start(
    _ arguments: [String], connection: ChildProcess.Connection, isShort: Bool = false
  ) throws(VideoIOError) -> ChildProcess {
    let quiet = ["-hide_banner", "-loglevel", "error", "-nostats", "-nostdin"]
    let asked = FFmpeg.environmentValue(FFmpeg.patienceVariable).flatMap { Int($0) } ?? 0
    let usual = (1...1_000_000).contains(asked) ? asked : FFmpeg.usualPatience
    let patience = ChildProcess.Patience(
      limit: .seconds(isShort ? min(usual, FFmpeg.shortPatience) : usual), isStopped: isStopped)
    return try ChildProcess(
      program: path, arguments: quiet + arguments, connection: connection, patience: patience)
  }

  /// Why the program was given up, where it was.
  /// - Parameter work: the file that it was to read or write.
  func failure(_ abandonment: ChildProcess.Abandonment?, with work: String) -> VideoIOError? {
    switch abandonment {
    case nil: nil
    case .stopped: .stopped(path: work)
    case .silent(let seconds): .stalled(program: path, path: work, seconds: seconds)
    }
  }

  /// A path in a form that `ffmpeg` takes neither for an option nor for an address like `http:`.
  static func fileArgument(_ path: String) -> String { path.hasPrefix("/") ? path : "./" + path }

  private static func isProgram(_ path: String) -> Bool {
    var information = stat()
    return stat(path, &information) == 0 && information.st_mode & S_IFMT == S_IFREG && access(path, X_OK) == 0
  }
}

extension ChildProcess.Termination {
  /// How the program ended, for messages.
  var words: String {
    switch self {
    case .exited(let status): "exit status \(status)"
    case .signaled(let signal): "signal \(signal)"
    }
  }
}
