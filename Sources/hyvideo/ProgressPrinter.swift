import Foundation
import Generation
import StrictJSON

/// How a run tells of its progress.
enum ProgressStyle: String, CaseIterable {
  /// A bar on a terminal, lines elsewhere.
  case auto
  /// One JSON object per line, for programs.
  case json
  /// Warnings alone.
  case none
}

/// Writes a run's progress to standard error.
final class ProgressPrinter {
  private let style: ProgressStyle
  private let isTerminal: Bool
  private let clock = ContinuousClock()
  private var stageName = ""
  private var units = 1
  private var done = 0
  private var skipped = 0
  private var estimate = TimeEstimate()
  private var start: ContinuousClock.Instant
  private var lastUnit: ContinuousClock.Instant
  private var lastLine: ContinuousClock.Instant

  private let isMuted: Bool

  /// - Parameter isMuted: nothing is printed, warnings included.
  init(_ style: ProgressStyle, isMuted: Bool = false) {
    (self.style, self.isMuted) = (style, isMuted)
    isTerminal = style == .auto && Console.hasTerminal
    start = clock.now
    (lastUnit, lastLine) = (start, start)
  }

  func begin(_ stage: GenerationStage, units: Int) {
    (stageName, self.units, done, skipped) = (stage.rawValue, units, 0, 0)
    estimate = TimeEstimate()
    start = clock.now
    (lastUnit, lastLine) = (start, start)
    if style == .json { writeEvent("stage_start", ["units": .integer(units)]) }
    if isTerminal { drawBar() }
  }

  /// The next unit to be done is one that was skipped.
  func skip() { skipped += 1 }

  func advance() {
    done += 1
    let now = clock.now
    estimate.add(lastUnit.duration(to: now) / .seconds(1))
    lastUnit = now
    if style == .json { return writeProgress(now) }
    if isTerminal { return drawBar() }
    // Off a terminal: the first unit, and then a line every five seconds.
    if style == .auto, units > 1, done < units, done == 1 || lastLine.duration(to: now) > .seconds(5) {
      lastLine = now
      write("\(stageName): \(done)/\(units)\(timing)\n")
    }
  }

  func end() {
    let total = start.duration(to: clock.now) / .seconds(1)
    if style == .json { writeEvent("stage_end", ["seconds": .number(total), "skipped": .integer(skipped)]) }
    if style != .auto { return }
    let skips = skipped > 0 ? ", \(skipped) skipped" : ""
    let count = units > 1 ? " (\(units) at \(Self.seconds(total / Double(units))) each\(skips))" : ""
    write((isTerminal ? Console.clearedLine : "") + "\(stageName): \(Self.seconds(total))\(count)\n")
  }

  func note(_ text: String) {
    if style == .json { writeEvent("note", ["message": .text(text)]) }
    if style == .auto { write((isTerminal ? Console.clearedLine : "") + text.printable + "\n") }
  }

  func warn(_ text: String) {
    if style == .json { return writeEvent("warning", ["message": .text(text)]) }
    write((isTerminal ? Console.clearedLine : "") + "warning: \(text.printable)\n")
  }

  /// Shows a small picture where the terminal has colours: two pixels per character.
  func show(_ picture: (width: Int, height: Int, rgb: [UInt8])) {
    let colors = ["truecolor", "24bit"].contains(ProcessInfo.processInfo.environment["COLORTERM"] ?? "")
    guard isTerminal, colors else { return }
    let scale = max(1, (picture.width + 71) / 72)
    func color(_ x: Int, _ y: Int) -> String {
      let first = (min(y, picture.height - 1) * picture.width + x) * 3
      return picture.rgb[first..<first + 3].map(String.init).joined(separator: ";")
    }
    var text = Console.clearedLine
    for y in stride(from: 0, to: picture.height, by: 2 * scale) {
      for x in stride(from: 0, to: picture.width, by: scale) {
        text += "\u{1B}[38;2;\(color(x, y))m\u{1B}[48;2;\(color(x, y + scale))m▀"
      }
      text += "\u{1B}[0m\n"
    }
    write(text)
  }

  /// `, 1.2 s each, 34 s ± 2 s left, 3 skipped`
  private var timing: String {
    let skips = skipped > 0 ? ", \(skipped) skipped" : ""
    guard units > 1, let left = estimate.left(units - done) else { return "" }
    if done == units { return ", \(Self.seconds(estimate.mean)) each" + skips }
    let range = left.uncertainty.map { " ± \(Self.seconds($0))" } ?? ""
    return ", \(Self.seconds(estimate.mean)) each, \(Self.seconds(left.seconds))\(range) left" + skips
  }

  private func drawBar() {
    // A line that wraps cannot be drawn over: the bar gives way first, then the end of the line.
    let tail = " \(done)/\(units)\(timing)"
    let columns = max(Console.terminalWidth - 1, 1)
    let width = max(0, min(24, columns - stageName.count - tail.count - 3))
    let filled = units > 0 ? width * min(done, units) / units : width
    let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: width - filled)
    write(Console.clearedLine + "\(stageName) [\(bar)]\(tail)".prefix(columns))
  }

  private func write(_ text: String) { if !isMuted { Console.draw(text) } }

  /// A time for people. Any number has one: files of other programs hold what they like.
  static func seconds(_ value: Double) -> String {
    switch value {
    case ..<0: "-" + seconds(-value)
    case 1e-9..<1e-3: String(format: "%.0f µs", value * 1e6)
    case ..<0.1: String(format: "%.0f ms", value * 1000)
    case ..<10: String(format: "%.2f s", value)
    case ..<120: String(format: "%.0f s", value)
    case ..<7200: String(format: "%d min %02d s", Int(value) / 60, Int(value) % 60)
    case ..<1e9: String(format: "%d h %02d min", Int(value) / 3600, Int(value) / 60 % 60)
    // Infinity and what is no number too.
    default: String(format: "%.3g h", value / 3600)
    }
  }
}

// MARK: JSON

extension ProgressPrinter {
  private enum Value: Encodable {
    case integer(Int)
    case number(Double)
    case text(String)

    func encode(to encoder: any Encoder) throws {
      var container = encoder.singleValueContainer()
      switch self {
      case .integer(let value): try container.encode(value)
      case .number(let value): try container.encode(value)
      case .text(let value): try container.encode(value)
      }
    }
  }

  private func writeProgress(_ now: ContinuousClock.Instant) {
    var values: [String: Value] = [
      "done": .integer(done), "units": .integer(units), "skipped": .integer(skipped),
      "seconds_elapsed": .number(start.duration(to: now) / .seconds(1)),
    ]
    if let left = estimate.left(units - done) {
      values["seconds_left"] = .number(left.seconds)
      values["seconds_left_uncertainty"] = left.uncertainty.map { .number($0) }
    }
    writeEvent("progress", values)
  }

  private func writeEvent(_ name: String, _ values: [String: Value]) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let event = values.merging(["event": .text(name), "stage": .text(stageName)]) { first, _ in first }
    // Numbers are finite and keys are strings: this cannot fail.
    if let line = try? encoder.encode(event) { write(String(decoding: line, as: UTF8.self).printableJSON + "\n") }
  }
}

/// What the units so far tell about those to come.
struct TimeEstimate {
  /// Older units count no more: machines get busy and free again.
  private static let window = 16
  private var durations: [Double] = []

  mutating func add(_ seconds: Double) {
    durations.append(seconds)
    if durations.count > Self.window { durations.removeFirst() }
  }

  var mean: Double { durations.isEmpty ? 0 : durations.reduce(0, +) / Double(durations.count) }

  /// The time that units will take, and what it may be off by: two standard deviations of a sum of units whose mean is known from
  /// the window alone. Nil before the first unit; the uncertainty before the third.
  func left(_ units: Int) -> (seconds: Double, uncertainty: Double?)? {
    if durations.isEmpty { return nil }
    let (count, units) = (Double(durations.count), Double(max(units, 0)))
    guard count >= 3 else { return (mean * units, nil) }
    let mean = mean
    let variance = durations.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / (count - 1)
    return (mean * units, 2 * (variance * units * (1 + units / count)).squareRoot())
  }
}
