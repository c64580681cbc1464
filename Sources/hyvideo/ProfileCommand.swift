import ArgumentParser
import Foundation
import Generation

struct ProfileCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "profile", abstract: "Looks at traces of hyvideo generate --profile.",
    subcommands: [ProfileSummaryCommand.self])
}

struct ProfileSummaryCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "summary",
    abstract: "Prints what each kind of operation and block took, and how near that is to the device's peak.",
    discussion: """
      Example: hyvideo profile summary ball.trace.json
      GFLOP/s count the products of linear layers, attention and convolutions as the networks' text has them; GB/s what an \
      operation must read and write at least. The trace itself opens at https://ui.perfetto.dev or chrome://tracing.
      """)

  @Argument(help: ArgumentHelp("A trace written by generate --profile or --prof-dit.", valueName: "file"))
  var trace: String
  @Option(help: ArgumentHelp("Look at one rank alone. Default: all together.", valueName: "number")) var rank: Int?
  @Option(
    help: ArgumentHelp(
      "What one rank's device reaches at most. Default: what was measured when the trace was written.",
      valueName: "gflop/s"))
  var peakGflops: Double?
  @Flag(help: "Print one JSON object.") var json = false

  func run() throws {
    let summary = try RefusedBeforeWork.checking {
      let trace = try WrittenFile.profile.reading(trace) { try Trace(contentsOf: $0) }
      try GeneratePlan.require(
        (rank ?? 0) >= 0 && (rank ?? 0) < max(1, trace.rankCount), "no such rank", "--rank",
        "0 to \(trace.rankCount - 1)", "\(rank ?? 0)")
      try GeneratePlan.require(
        (peakGflops ?? 1) > 0 && (peakGflops ?? 1).isFinite, "invalid peak", "--peak-gflops", "a number above 0",
        "\(peakGflops ?? 0)")
      return ProfileSummary(trace, rank: rank, peakGflops: peakGflops)
    }
    if json {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
      try Console.result(json: String(decoding: encoder.encode(summary), as: UTF8.self))
    } else {
      try Console.result(ProfileTable(summary).text)
    }
  }
}

extension String {
  fileprivate func trimmingSuffix(_ character: Character) -> String {
    String(self[..<(lastIndex { $0 != character }.map(index(after:)) ?? startIndex)])
  }
}

/// A summary for people.
struct ProfileTable {
  let summary: ProfileSummary

  init(_ summary: ProfileSummary) { self.summary = summary }

  var text: String {
    var lines = [heading]
    for (title, rows) in [
      ("operation", summary.operations), ("block", summary.blocks), ("stage", summary.stages),
    ] where !rows.isEmpty {
      lines += [""] + table(title, rows)
    }
    lines += [""] + ending
    return lines.joined(separator: "\n")
  }

  private var heading: String {
    let ranks = summary.ranks == 1 ? "1 rank" : "\(summary.ranks) ranks"
    var text = "\(summary.generator), \(ranks), \(summary.threads) threads: \(Self.time(summary.seconds)) in all"
    if summary.steps > 0, let mean = summary.stepSecondsMean {
      text += ", \(summary.steps) steps at \(Self.time(mean)) each"
      if summary.skippedSteps > 0 { text += ", \(summary.skippedSteps) skipped" }
    }
    return text
  }

  private var ending: [String] {
    var lines: [String] = []
    if let peak = summary.peakGflops {
      let bandwidth = summary.peakGigabytesPerSecond.map { String(format: ", memory %.3g GB/s", $0) } ?? ""
      lines.append(String(format: "peak of a rank's device: %.4g GFLOP/s", peak) + bandwidth)
    }
    let names = [("process", "process"), ("files", "pages of files"), ("tensors", "tensors")]
    let peaks = names.compactMap { key, name in
      summary.memory[key].map { String(format: "\(name) %.3g GB", $0 / 1e9) }
    }
    if !peaks.isEmpty { lines.append("largest memory of a rank: " + peaks.joined(separator: ", ")) }
    if summary.bytesRead > 0 { lines.append(String(format: "read from the disk: %.3g GB", summary.bytesRead / 1e9)) }
    if summary.lostEvents > 0 { lines.append("\(summary.lostEvents) events found no room and are missing") }
    return lines
  }

  private func table(_ title: String, _ rows: [ProfileSummary.Row]) -> [String] {
    let cells = rows.map { row in
      [
        row.name, "\(row.calls)", Self.time(row.seconds), String(format: "%.1f %%", 100 * row.share),
        row.gflops.map { String(format: "%.4g", $0) } ?? "",
        row.gigabytesPerSecond.map { String(format: "%.3g", $0) } ?? "",
        row.shareOfPeak.map { String(format: "%.0f %%", 100 * $0) } ?? "",
      ]
    }
    let all = [[title, "calls", "time", "share", "GFLOP/s", "GB/s", "of peak"]] + cells
    let widths = all[0].indices.map { column in all.map { $0[column].count }.max() ?? 0 }
    return all.map { row in
      row.enumerated().map { column, cell in
        let padding = String(repeating: " ", count: widths[column] - cell.count)
        return column == 0 ? cell + padding : padding + cell
      }.joined(separator: "  ").trimmingSuffix(" ")
    }
  }

  private static func time(_ seconds: Double) -> String {
    seconds < 1 ? String(format: "%.2f ms", 1000 * seconds) : String(format: "%.3f s", seconds)
  }
}
