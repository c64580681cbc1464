import ArgumentParser
import Checkpoints
import Foundation
import Generation
import StrictJSON
import VideoIO

struct ReportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "report", abstract: "Shows a report of generate --report, as text or as a page.",
    discussion: """
      Example: hyvideo report ball.json --html ball.html
      The page holds everything that it shows: pictures of the video, charts of times and memory, settings, and the command.
      """)

  /// Pictures on a page, and the largest video that is put into one.
  private static let pictureCount = 5
  private static let videoLimit = 8 << 20

  @Argument(help: ArgumentHelp("A file that generate --report wrote.", valueName: "report")) var report: String
  @Argument(help: ArgumentHelp("Where the page goes. Default: the report's name with .html.", valueName: "page"))
  var page: String?
  @Flag(help: "Write a page instead of text.") var html = false

  func run() throws {
    let value = try RefusedBeforeWork.checking {
      let value = try WrittenFile.report.reading(report) { try JSONValue(contentsOf: $0) }
      guard value["settings"].object != nil, value["stages"].array != nil, value["steps"].array != nil else {
        throw RequestError(
          "no report", at: report, expected: "a file of hyvideo generate --report", found: value.summary,
          remedy: "check the path")
      }
      if page != nil && !html {
        throw RequestError(
          "page without --html", at: page ?? "", expected: "--html before it", found: "none", remedy: "add --html")
      }
      return value
    }
    guard html else { return try Console.result(ReportText(report: value).text) }
    let path = page ?? FileSystem.path((report as NSString).deletingPathExtension, suffix: ".html")
    try RefusedBeforeWork.checking {
      try OutputPlan.requireReplaceable(path, flag: "page")
      try OutputPlan.requireDistinct([report, path])
      try OutputPlan.claim(path)
    }
    var (frames, video): ([(number: Int, png: Data)], Data?) = ([], nil)
    if let output = value["output"].string {
      do { (frames, video) = try pictures(of: output) } catch {
        // A page of numbers is better than none.
        Console.error("warning: no pictures: \(error)\n")
      }
    }
    let contents = ReportPage(report: value, frames: frames, video: video).html
    try FileSystem.write(Array(contents.utf8), to: path)
    try Console.written(path: path)
  }

  private func pictures(of output: String) throws -> (frames: [(number: Int, png: Data)], video: Data?) {
    let reader = try VideoReader(path: output, ffmpeg: FFmpeg.found())
    let count = min(Self.pictureCount, reader.frameCount)
    let numbers = (0..<count).map { count > 1 ? $0 * (reader.frameCount - 1) / (count - 1) : 0 }
    let frames = try zip(numbers, reader.pictures(of: numbers, width: 320)).map { ($0 + 1, Data($1)) }
    let attributes = try FileManager.default.attributesOfItem(atPath: output)
    let isSmall =
      attributes[.type] as? FileAttributeType == .typeRegular && (attributes[.size] as? Int ?? .max) <= Self.videoLimit
    return (frames, isSmall ? FileManager.default.contents(atPath: output) : nil)
  }
}

/// A report in a few lines.
struct ReportText {
  let report: JSONValue

  var text: String {
    let settings = report["settings"]
    let steps = report["steps"].array ?? []
    let skipped = steps.count { $0["skipped"].bool == true }
    var lines = [
      settings["prompt"].string ?? "",
      VideoSize.text(
        frames: settings["frames"].int ?? 0, height: settings["height"].int ?? 0, width: settings["width"].int ?? 0)
        + ", \((settings["steps"].int ?? 0).counted("step"))\(skipped > 0 ? " (\(skipped) skipped by \(settings["cache"].string ?? ""))" : ""), "
        + "seed \(report["seed"].summary), version \(report["version"].string ?? "")",
      "checkpoint \(report["checkpoint_sha256"].string ?? "")", "",
    ]
    for stage in report["stages"].array ?? [] {
      let name = stage["name"].string ?? ""
      let padding = String(repeating: " ", count: max(1, 20 - name.count))
      lines.append(
        name + padding + ProgressPrinter.seconds(stage["seconds"].double ?? 0) + ", "
          + ReportPage.bytes(stage["peak_rss_bytes"].double ?? 0))
    }
    lines += (report["warnings"].array ?? []).compactMap(\.string).map { "warning: \($0)" }
    lines += ["", report["output"].string ?? ""]
    let command = (report["command"].array ?? []).compactMap(\.string)
    if !command.isEmpty { lines.append(ShellCommand.line(command)) }
    return lines.joined(separator: "\n")
  }
}
