import Foundation
import Generation
import StrictJSON

/// A report as one page that needs nothing else: pictures, charts, settings and the command.
struct ReportPage {
  let report: JSONValue
  /// PNG pictures of the video, and the video itself where it is small.
  let frames: [(number: Int, png: Data)]
  let video: Data?

  var html: String {
    let title = text("settings", "prompt")
    return """
      <!DOCTYPE html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta name="color-scheme" content="light dark">
      <title>\(HTMLText.escaped(title)) – hyvideo</title>
      <style>\(Self.style)</style>
      </head>
      <body>
      <header>
      <p class="small">hyvideo \(HTMLText.escaped(report["version"].string ?? "")) · \(HTMLText.escaped(report["started"].string ?? ""))</p>
      <h1>\(HTMLText.escaped(title))</h1>
      \(summary)
      </header>
      \(warnings)
      \(pictures)
      \(charts)
      \(plan)
      \(tables)
      \(command)
      <script>\(Self.script)</script>
      </body>
      </html>

      """
  }

  // MARK: Parts

  private func text(_ path: String...) -> String {
    let value = path.reduce(report) { $0[$1] }
    return value.string ?? value.summary
  }

  private var steps: [JSONValue] { report["steps"].array ?? [] }
  private var stages: [JSONValue] { report["stages"].array ?? [] }

  private var summary: String {
    let settings = report["settings"]
    let skipped = steps.count { $0["skipped"].bool == true }
    let seconds = report["seconds"].double ?? stages.reduce(0) { $0 + ($1["seconds"].double ?? 0) }
    var facts = [
      ("size", VideoSize.text(height: settings["height"].int ?? 0, width: settings["width"].int ?? 0)),
      ("frames", "\(settings["frames"].summary) at \(settings["frames_per_second"].summary)/s"),
      ("steps", settings["steps"].summary + (skipped > 0 ? " (\(skipped) skipped)" : "")),
      ("seed", report["seed"].summary),
      ("time", ProgressPrinter.seconds(seconds)),
      ("memory", Self.bytes(report["peak_rss_bytes"].double ?? 0)),
    ]
    if (report["ranks"].int ?? 1) > 1 { facts.append(("ranks", report["ranks"].summary)) }
    let cells = facts.map { "<div><dt>\($0)</dt><dd>\(HTMLText.escaped($1))</dd></div>" }
    return "<dl class=\"facts\">\(cells.joined())</dl>"
  }

  private var warnings: String {
    let list = (report["warnings"].array ?? []).compactMap(\.string)
    if list.isEmpty { return "" }
    return "<section class=\"warnings\"><h2>Warnings</h2><ul>"
      + list.map { "<li>\(HTMLText.escaped($0))</li>" }.joined() + "</ul></section>"
  }

  private var pictures: String {
    let name = HTMLText.escaped(report["output"].string ?? "")
    if frames.isEmpty {
      return "<section><h2>Frames</h2><p class=\"small\">The video \(name) could not be read.</p></section>"
    }
    let player = video.map { data in
      "<video controls loop muted autoplay playsinline src=\"data:video/mp4;base64,\(data.base64EncodedString())\"></video>"
    }
    let images = frames.map { number, png in
      "<figure><img alt=\"frame \(number)\" src=\"data:image/png;base64,\(png.base64EncodedString())\">"
        + "<figcaption>\(number)</figcaption></figure>"
    }
    return "<section><h2>Frames</h2><div class=\"frames\">\(player ?? "")\(images.joined())</div>"
      + "<p class=\"small\">\(name)</p></section>"
  }

  private var charts: String {
    func bar(_ stage: JSONValue, _ key: String, _ format: (Double) -> String) -> ReportCharts.Bar {
      let value = stage[key].double ?? 0
      return ReportCharts.Bar(label: stage["name"].string ?? "", value: value, text: format(value))
    }
    let columns = steps.map { step in
      let (seconds, skipped) = (step["seconds"].double ?? 0, step["skipped"].bool == true)
      return ReportCharts.Bar(
        label: "step \(Self.index(of: step) + 1)", value: seconds,
        text: ProgressPrinter.seconds(seconds) + (skipped ? ", skipped" : ""), isHollow: skipped)
    }
    var parts: [String] = []
    if !columns.isEmpty {
      let key =
        columns.contains(where: \.isHollow) ? "<p class=\"key\"><i class=\"full\"></i>computed <i></i>skipped</p>" : ""
      parts.append(
        "<figure class=\"wide\"><h3>Time of each step</h3>"
          + ReportCharts.columns(columns, title: "Time of each step", unit: "s", format: Self.tick) + key + "</figure>")
    }
    let decisions = steps.compactMap { step in
      step["cache_change"].double.flatMap { value in
        step["cache_limit"].double.map { (step: Self.index(of: step), value: value, limit: $0) }
      }
    }
    if !decisions.isEmpty {
      let method = HTMLText.escaped(text("settings", "cache"))
      parts.append(
        "<figure class=\"wide\"><h3>What \(method) compared, and its limit</h3>"
          + ReportCharts.line(
            decisions, steps: (steps.last.map(Self.index) ?? 0) + 1,
            title: "Estimated change at each step and the limit")
          + "<p class=\"key\"><i class=\"below\"></i>below the limit: skipped <i class=\"above\"></i>computed</p></figure>"
      )
    }
    if !stages.isEmpty {
      parts.append(
        "<figure><h3>Time of each stage</h3>"
          + ReportCharts.rows(stages.map { bar($0, "seconds", ProgressPrinter.seconds) }, title: "Time of each stage")
          + "</figure>")
      parts.append(
        "<figure><h3>Largest memory of each stage</h3>"
          + ReportCharts.rows(
            stages.map { bar($0, "peak_rss_bytes", Self.bytes) }, title: "Largest memory of each stage")
          + "</figure>")
    }
    return parts.isEmpty
      ? "" : "<section><h2>Time and memory</h2><div class=\"charts\">\(parts.joined())</div></section>"
  }

  /// What was planned beside what came of it.
  private var plan: String {
    let planned = (report["plan"]["stages"].array ?? []).filter { $0["actual_seconds"].double != nil }
    if planned.isEmpty { return "" }
    func row(_ cells: [String], _ tag: String) -> String {
      "<tr>" + cells.map { "<\(tag)>\(HTMLText.escaped($0))</\(tag)>" }.joined() + "</tr>"
    }
    let rows = planned.map { stage in
      let times = ["seconds", "actual_seconds"].map { ProgressPrinter.seconds(stage[$0].double ?? 0) }
      let sizes = ["host_peak_bytes", "actual_peak_bytes"].map { Self.bytes(stage[$0].double ?? 0) }
      return row([stage["name"].string ?? ""] + times + sizes, "td")
    }
    return "<section><h2>Planned and actual</h2><table class=\"plan\">"
      + row(["stage", "time planned", "took", "memory planned", "held"], "th") + rows.joined() + "</table></section>"
  }

  private var tables: String {
    func table(_ value: JSONValue, _ title: String) -> String {
      let rows = (value.object ?? [:]).sorted { $0.key < $1.key }.map { key, value in
        let name = key.replacing("_", with: " ")
        return "<tr><th>\(HTMLText.escaped(name))</th><td>\(HTMLText.escaped(Self.shown(value, named: key)))</td></tr>"
      }
      return rows.isEmpty ? "" : "<section><h2>\(title)</h2><table>\(rows.joined())</table></section>"
    }
    var result: [String: JSONValue] = [:]
    for key in [
      "checkpoint_sha256", "latents_sha256", "steps_computed", "bytes_read", "bytes_sent", "communication_seconds",
      "exposed_communication_seconds", "ranks", "fidelity",
    ] where report[key] != .null { result[key] = report[key] }
    return table(report["settings"], "Settings") + table(report["environment"], "Program and machine")
      + table(.object(result), "Result")
  }

  /// A value of a table; its name says what a number counts.
  private static func shown(_ value: JSONValue, named name: String) -> String {
    if let members = value.object {
      // What has a value for every step is in the charts.
      let pairs = members.filter { $1.array == nil }.sorted { $0.key < $1.key }
        .map { "\($0.key) \(shown($0.value, named: $0.key))" }
      return pairs.isEmpty ? "none" : pairs.joined(separator: ", ")
    }
    guard let number = value.double else { return value.string ?? value.summary }
    if name.hasSuffix("bytes") || name.hasPrefix("bytes") { return bytes(number) }
    if name.hasSuffix("seconds") { return ProgressPrinter.seconds(number) }
    return value.int != nil ? value.summary : String(format: "%.4g", number)
  }

  private var command: String {
    let words = (report["command"].array ?? []).compactMap(\.string)
    if words.isEmpty { return "" }
    return "<section><h2>Command</h2><div class=\"command\"><pre id=\"command\">"
      + HTMLText.escaped(ShellCommand.line(words)) + "</pre><button type=\"button\">Copy</button></div></section>"
  }

  // MARK: Numbers

  /// A step's place on the axis, of those that a run can have.
  private static func index(of step: JSONValue) -> Int { min(max(step["index"].int ?? 0, 0), 9999) }

  private static func tick(_ value: Double) -> String {
    value == 0 ? "0" : value < 1 ? String(format: "%.3g ms", 1000 * value) : String(format: "%.3g s", value)
  }

  static func bytes(_ value: Double) -> String {
    value < 1e6
      ? String(format: "%.0f kB", value / 1e3)
      : value < 1e9 ? String(format: "%.0f MB", value / 1e6) : String(format: "%.2f GB", value / 1e9)
  }
}
