import Foundation

/// A report's charts as SVG. Colours are those of the page.
enum ReportCharts {
  /// A bar of a chart.
  struct Bar {
    let label: String
    let value: Double
    /// What the number is in words.
    let text: String
    /// Drawn as an outline: what was skipped.
    var isHollow = false
  }

  private static let width = 720.0

  /// Upright bars, one for each step, with a scale at the left; the labels of some stand below.
  static func columns(_ bars: [Bar], title: String, unit: String, format: (Double) -> String) -> String {
    let (left, top, height, bottom) = (64.0, 12.0, 180.0, 28.0)
    let plot = width - left - 8
    let scale = axis(upTo: bars.map(\.value).max() ?? 0)
    func y(_ value: Double) -> Double { top + height - height * value / scale.end }
    var parts: [String] = []
    for tick in scale.ticks {
      parts.append(
        "<line class=\"grid\" x1=\"\(number(left))\" x2=\"\(number(left + plot))\" y1=\"\(number(y(tick)))\" "
          + "y2=\"\(number(y(tick)))\"/>"
          + label(format(tick), x: left - 8, y: y(tick) + 4, anchor: "end"))
    }
    let pitch = plot / Double(max(bars.count, 1))
    let gap = pitch > 5 ? min(3, pitch * 0.2) : 0
    let every = max(1, Int((Double(bars.count) / 12).rounded(.up)))
    for (index, bar) in bars.enumerated() {
      let x = left + pitch * Double(index)
      let barHeight = max(height * bar.value / scale.end, 1)
      parts.append(
        "<rect class=\"\(bar.isHollow ? "skipped" : "bar")\" x=\"\(number(x + gap / 2))\" "
          + "y=\"\(number(top + height - barHeight))\" width=\"\(number(max(pitch - gap, 0.5)))\" "
          + "height=\"\(number(barHeight))\"><title>\(HTMLText.escaped("\(bar.label): \(bar.text)"))</title></rect>")
      if index % every == 0 {
        parts.append(label("\(index + 1)", x: x + pitch / 2, y: top + height + 16, anchor: "middle"))
      }
    }
    parts.append(
      "<line class=\"axis\" x1=\"\(number(left))\" x2=\"\(number(left + plot))\" y1=\"\(number(top + height))\" "
        + "y2=\"\(number(top + height))\"/>")
    return svg(parts, height: top + height + bottom, title: title)
  }

  /// Lying bars with their names at the left and numbers at their ends.
  static func rows(_ bars: [Bar], title: String) -> String {
    // Half as wide as the others, and two in a row.
    let (width, left, pitch, thickness) = (350.0, 112.0, 26.0, 14.0)
    let plot = width - left - 76
    let largest = bars.map(\.value).max() ?? 0
    var parts: [String] = []
    for (index, bar) in bars.enumerated() {
      let y = 4 + pitch * Double(index)
      let length = largest > 0 ? max(plot * bar.value / largest, 1) : 1
      parts.append(label(bar.label, x: left - 10, y: y + 11.5, anchor: "end"))
      parts.append(
        "<rect class=\"bar\" x=\"\(number(left))\" y=\"\(number(y))\" width=\"\(number(length))\" "
          + "height=\"\(number(thickness))\" rx=\"2\"/>")
      parts.append(label(bar.text, x: left + length + 8, y: y + 11.5, anchor: "start", isStrong: true))
    }
    return svg(parts, width: width, height: 4 + pitch * Double(bars.count), title: title)
  }

  /// What a cache's rule compared at each step, and its limit.
  static func line(_ points: [(step: Int, value: Double, limit: Double)], steps: Int, title: String) -> String {
    let (left, top, height, bottom) = (64.0, 12.0, 120.0, 28.0)
    let plot = width - left - 8
    let scale = axis(upTo: points.map { max($0.value, $0.limit) }.max() ?? 0)
    func x(_ step: Int) -> Double { left + plot * (Double(step) + 0.5) / Double(max(steps, 1)) }
    func y(_ value: Double) -> Double { top + height - height * min(max(value, 0), scale.end) / scale.end }
    var parts = scale.ticks.map { tick in
      "<line class=\"grid\" x1=\"\(number(left))\" x2=\"\(number(left + plot))\" y1=\"\(number(y(tick)))\" "
        + "y2=\"\(number(y(tick)))\"/>" + label(short(tick), x: left - 8, y: y(tick) + 4, anchor: "end")
    }
    let limits = points.map { "\(number(x($0.step))),\(number(y($0.limit)))" }.joined(separator: " ")
    parts.append("<polyline class=\"limit\" points=\"\(limits)\"/>")
    for point in points {
      let text = "step \(point.step + 1): \(short(point.value)), limit \(short(point.limit))"
      parts.append(
        "<circle class=\"\(point.value < point.limit ? "below" : "above")\" cx=\"\(number(x(point.step)))\" "
          + "cy=\"\(number(y(point.value)))\" r=\"3.5\"><title>\(HTMLText.escaped(text))</title></circle>")
    }
    let every = max(1, Int((Double(steps) / 12).rounded(.up)))
    for step in stride(from: 0, to: steps, by: every) {
      parts.append(label("\(step + 1)", x: x(step), y: top + height + 16, anchor: "middle"))
    }
    return svg(parts, height: top + height + bottom, title: title)
  }

  // MARK: Parts

  private static func svg(
    _ parts: [String], width: Double = ReportCharts.width, height: Double, title: String
  ) -> String {
    "<svg role=\"img\" aria-label=\"\(HTMLText.escaped(title))\" viewBox=\"0 0 \(number(width)) \(number(height))\">"
      + parts.joined() + "</svg>"
  }

  private static func label(_ text: String, x: Double, y: Double, anchor: String, isStrong: Bool = false) -> String {
    "<text\(isStrong ? " class=\"strong\"" : "") x=\"\(number(x))\" y=\"\(number(y))\" text-anchor=\"\(anchor)\">"
      + HTMLText.escaped(text) + "</text>"
  }

  private static func number(_ value: Double) -> String { String(format: "%.2f", value.isFinite ? value : 0) }

  private static func short(_ value: Double) -> String { String(format: "%.3g", value) }

  /// Up to five steps of 1, 2 or 5 times a power of ten.
  private static func axis(upTo largest: Double) -> (end: Double, ticks: [Double]) {
    // Below the smallest normal number there are no steps.
    guard largest >= 1e-300, largest.isFinite else { return (1, [0, 1]) }
    let power = pow(10, (log10(largest / 4)).rounded(.down))
    let step = [1, 2, 5, 10].map { $0 * power }.first { largest / $0 <= 5 } ?? 10 * power
    let count = Int((largest / step).rounded(.up))
    return (step * Double(count), (0...count).map { step * Double($0) })
  }
}
