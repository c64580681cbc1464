import Foundation
import Generation

/// A forecast for people.
struct ForecastTable {
  let report: ForecastReport

  var text: String {
    let r = report
    let s = r.setting
    var lines = [
      "\(r.setting.videos > 1 ? "\(s.videos) videos of " : "")"
        + "\(VideoSize.text(frames: s.frames, height: s.height, width: s.width)), \(s.steps.counted("step"))"
        + (s.cache == "none" ? "" : ", cache \(s.cache) (times as if no step were skipped)"),
      "layout: \(layout)",
    ]
    if let warning = r.crowdingWarning { lines.append("warning: " + warning) }
    lines.append("")
    lines += table(
      ["stage"] + (hasOwnMemory ? ["on the device", "on the host"] : ["memory", "of it tensors", "weights"])
        + ["read", "sent", "operations", "time"],
      r.stages.map { stage in
        let memory =
          hasOwnMemory
          ? [stage.devicePeakBytes, stage.hostPeakBytes] : [stage.hostPeakBytes, stage.tensorBytes, stage.weightBytes]
        return [stage.units > 1 ? "\(stage.name) (\(stage.units))" : stage.name]
          + (memory + [stage.bytesRead, stage.bytesSent]).map(ByteCount.text)
          + [Self.count(stage.operations), time(of: stage)]
      })
    if hasOwnMemory { lines += [""] + kernels }
    lines.append("")
    lines.append(
      "a step: \(ProgressPrinter.seconds(r.stepSeconds)), \(Self.count(r.stepOperations)) operations"
        + (r.skippedStepSeconds.map { "; a skipped one \(ProgressPrinter.seconds($0))" } ?? ""))
    lines.append(
      "time: \(ProgressPrinter.seconds(r.seconds)) ± \(ProgressPrinter.seconds(r.secondsUncertainty))"
        + Forecast.skipping(r.skippableSeconds ?? 0)
        + (hasOwnMemory
          ? " by \(r.timeSource)"
          : r.guessedShare > 0.05
            ? " (\(Int(100 * r.guessedShare)) % from like operations; --recalibrate times all)" : ""))
    if hasOwnMemory {
      lines.append(
        "device memory: \(ByteCount.text(r.devicePeakBytes)) at most" + (r.ranks > 1 ? " on the busiest rank" : ""))
    }
    lines.append(
      "\(hasOwnMemory ? "host memory" : "memory"): \(ByteCount.text(r.hostPeakBytes)) at most"
        + (r.ranks > 1 ? " on the busiest rank" : "")
        + ", of which the program itself \(ByteCount.text(r.programBytes))")
    if r.limitBytes == nil {
      let ranks = min(r.ranks, r.cards?.count ?? 1)
      lines.append(
        "which is not checked, since the host of the NPUs is not here: "
          + (ranks > 1
            ? "its \(ranks) ranks take \(ByteCount.text(ranks * r.hostPeakBytes)) at most; --memory-limit says what each may"
            : "--memory-limit says what it has"))
    }
    lines.append((r.fits ? "fits " : "does not fit ") + limits)
    if !r.fits {
      lines.append(r.proposal.map { "the nearest that fits:\n  \($0)" } ?? "nothing that this checkpoint makes fits")
    }
    return lines.joined(separator: "\n")
  }

  /// `~` before what rests on guesses; by a model of the card all does.
  private func time(of stage: ForecastReport.Stage) -> String {
    (!hasOwnMemory && stage.guessedShare > 0.3 && stage.seconds > 0.1 ? "~" : "")
      + ProgressPrinter.seconds(stage.seconds)
  }

  private var limits: String {
    let host = report.limitBytes.map { "\(ByteCount.text($0)) (\(report.limitSource ?? ""))" }
    let device = report.deviceLimitBytes.map {
      "\(ByteCount.text($0)) of the device (\(report.deviceLimitSource ?? ""))"
    }
    return [host, device].compactMap { $0 }.joined(separator: " and ")
  }

  private var hasOwnMemory: Bool { report.deviceLimitBytes != nil }

  /// The kernels of a step, those that take longest first.
  private var kernels: [String] {
    table(
      ["kernels of a step", "calls", "operations", "bytes", "time"],
      report.operations.sorted { $0.seconds > $1.seconds }.map { kernel in
        [
          kernel.format, "\(kernel.calls)", Self.count(kernel.operations),
          ByteCount.text(Int(min(kernel.bytesRead + kernel.bytesWritten, 0x1p62))),
          ProgressPrinter.seconds(kernel.seconds),
        ]
      })
  }

  private var layout: String {
    let r = report
    let ranks =
      r.ranks > 1 ? r.layoutReason ?? "\(r.ranks) ranks, Ulysses \(r.ulyssesDegree) x ring \(r.ringDegree)" : "1 rank"
    let weights =
      r.weightWindowBytes.map { "weights on \(hasOwnMemory ? "the host" : "disk"), \(ByteCount.text($0)) read ahead" }
      ?? "weights in memory"
    let tiles = r.setting.vaeTiling ? "decoding in tiles" : "decoding whole"
    let each = r.ranks > 1 ? " each" : ""
    let threads = cards ?? "\(r.threads) \(r.threads == 1 ? "thread" : "threads")\(each)"
    return [ranks, threads, weights, tiles].joined(separator: ", ")
  }

  /// `ascend:0 to ascend:7`, of each host where ranks are on several.
  private var cards: String? {
    guard let cards = report.cards, let first = cards.first, let last = cards.last else { return nil }
    return (first == last ? first : "\(first) to \(last)") + (report.ranks > cards.count ? " of each host" : "")
  }

  /// Columns under their titles, the first to the left, the others to the right.
  private func table(_ titles: [String], _ rows: [[String]]) -> [String] {
    let widths = titles.indices.map { column in ([titles] + rows).map { $0[column].count }.max() ?? 0 }
    return ([titles] + rows).map { row in
      row.enumerated().map { column, text in
        let space = String(repeating: " ", count: widths[column] - text.count)
        return column == 0 ? text + space : space + text
      }.joined(separator: "  ")
    }
  }

  /// `12.1 P`: operations with the letter of their thousands.
  static func count(_ value: Double) -> String {
    var (value, unit) = (value, 0)
    let units = ["", " k", " M", " G", " T", " P", " E"]
    while value >= 1000 && unit < units.count - 1 { (value, unit) = (value / 1000, unit + 1) }
    return String(format: value == 0 ? "%.0f" : value < 10 ? "%.2f" : value < 100 ? "%.1f" : "%.0f", value)
      + units[unit]
  }
}
