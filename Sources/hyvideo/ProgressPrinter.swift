import Foundation
import Generation

/// Writes a run's progress to standard error: a bar on a terminal, lines elsewhere.
final class ProgressPrinter {
  private let isTerminal = Console.hasTerminal
  private let clock = ContinuousClock()
  private var stageName = ""
  private var units = 1
  private var done = 0
  private var start: ContinuousClock.Instant
  private var lastLine: ContinuousClock.Instant

  init() {
    start = clock.now
    lastLine = clock.now
  }

  func begin(_ stage: GenerationStage, units: Int) {
    (stageName, self.units, done) = (stage.rawValue, units, 0)
    start = clock.now
    lastLine = start
    if isTerminal { drawBar() }
  }

  func advance() {
    done += 1
    if isTerminal { return drawBar() }
    // Off a terminal: the first unit, and then a line every five seconds.
    let now = clock.now
    if units > 1, done < units, done == 1 || lastLine.duration(to: now) > .seconds(5) {
      lastLine = now
      write("\(stageName): \(done)/\(units)\(timing)\n")
    }
  }

  /// - Parameter skipped: how many of the units were skipped.
  func end(skipped: Int) {
    let total = start.duration(to: clock.now) / .seconds(1)
    let skips = skipped > 0 ? ", \(skipped) skipped" : ""
    let count = units > 1 ? " (\(units) at \(Self.seconds(total / Double(units))) each\(skips))" : ""
    write((isTerminal ? "\r\u{1B}[K" : "") + "\(stageName): \(Self.seconds(total))\(count)\n")
  }

  func note(_ text: String) { write((isTerminal ? "\r\u{1B}[K" : "") + text + "\n") }

  /// `, 1.2 s each, 34 s left`
  private var timing: String {
    guard done > 0 else { return "" }
    let each = start.duration(to: clock.now) / .seconds(Double(done))
    return ", \(Self.seconds(each)) each, \(Self.seconds(each * Double(units - done))) left"
  }

  private func drawBar() {
    let width = 24
    let filled = units > 0 ? width * min(done, units) / units : width
    let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: width - filled)
    write("\r\u{1B}[K\(stageName) [\(bar)] \(done)/\(units)\(timing)")
  }

  private func write(_ text: String) { Console.error(text) }

  static func seconds(_ value: Double) -> String {
    switch value {
    case ..<0.1: String(format: "%.0f ms", value * 1000)
    case ..<10: String(format: "%.2f s", value)
    case ..<120: String(format: "%.0f s", value)
    case ..<7200: String(format: "%d min %02d s", Int(value) / 60, Int(value) % 60)
    default: String(format: "%d h %02d min", Int(value) / 3600, Int(value) / 60 % 60)
    }
  }
}
