import ArgumentParser
import Generation

/// How a command tells of its progress.
struct ProgressOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "auto (a bar on a terminal, lines elsewhere), json (an object per line, for programs) or none (warnings alone).",
      valueName: "style"))
  var progress = "auto"

  /// - Throws: `RequestError` for a style that is not known.
  func style() throws(RequestError) -> ProgressStyle {
    if let style = ProgressStyle(rawValue: progress) { return style }
    throw RequestError(
      "unknown progress", at: "--progress", expected: ProgressStyle.allCases.map(\.rawValue).joined(separator: ", "),
      found: progress, remedy: "see --help")
  }
}
