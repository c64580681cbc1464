import Checkpoints
import Foundation
import Generation
import VideoIO

/// A chart: panels above each other over one horizontal axis, written as a PNG picture.
struct Plot {
  /// A line; without positions its points are 0, 1, 2, …
  struct Curve {
    let name: String
    let points: [(x: Double, y: Double)]

    init(_ values: [Double]) {
      name = ""
      points = values.enumerated().map { (Double($0), $1) }
    }

    init(name: String, points: [(x: Double, y: Double)]) {
      self.name = name
      self.points = points.sorted { $0.x < $1.x }
    }
  }

  struct Panel {
    let title: String
    let curves: [Curve]
  }

  let horizontal: String
  let panels: [Panel]

  private static let (width, panelHeight, left, top, bottom, right) = (800, 280, 70, 30, 40, 20)

  /// Checks, before any work, that a picture can be written.
  static func checkOutput(_ path: String) throws {
    let folder = (path as NSString).deletingLastPathComponent
    guard path.lowercased().hasSuffix(".png"), access(folder.isEmpty ? "." : folder, W_OK | X_OK) == 0 else {
      throw RequestError(
        "cannot write plot", at: path, expected: "a file ending in .png in a writable folder", found: path,
        remedy: "for example --plot fidelity.png")
    }
  }

  func write(to path: String) throws {
    var canvas = Canvas(width: Self.width, height: Self.panelHeight * panels.count)
    for (index, panel) in panels.enumerated() { draw(panel, top: index * Self.panelHeight, on: &canvas) }
    try FileSystem.write(canvas.png(), to: path)
  }

  private func draw(_ panel: Panel, top: Int, on canvas: inout Canvas) {
    let all = panel.curves.flatMap(\.points).filter { $0.x.isFinite && $0.y.isFinite }
    let (x0, x1) = (Self.left, Self.width - Self.right)
    let (y0, y1) = (top + Self.top, top + Self.panelHeight - Self.bottom)
    let horizontalRange = Self.range(all.map(\.x))
    let verticalRange = Self.range(all.map(\.y))
    canvas.text(panel.title, x: x0, y: top + 10, color: .black)
    canvas.text(horizontal, x: (x0 + x1) / 2 - horizontal.count * 3, y: y1 + 24, color: .black)
    for tick in 0...4 {
      let share = Double(tick) / 4
      let y = y1 - Int(share * Double(y1 - y0))
      canvas.line(x0, y, x1, y, color: .grid)
      let value = Self.label(verticalRange.lowerBound + share * (verticalRange.upperBound - verticalRange.lowerBound))
      canvas.text(value, x: x0 - 6 - value.count * 6, y: y - 3, color: .black)
      let x = x0 + Int(share * Double(x1 - x0))
      let place = Self.label(
        horizontalRange.lowerBound + share * (horizontalRange.upperBound - horizontalRange.lowerBound))
      canvas.text(place, x: x - place.count * 3, y: y1 + 8, color: .black)
    }
    canvas.line(x0, y0, x0, y1, color: .black)
    canvas.line(x0, y1, x1, y1, color: .black)

    func position(_ point: (x: Double, y: Double)) -> (Int, Int) {
      let x = (point.x - horizontalRange.lowerBound) / (horizontalRange.upperBound - horizontalRange.lowerBound)
      let y = (point.y - verticalRange.lowerBound) / (verticalRange.upperBound - verticalRange.lowerBound)
      return (x0 + Int(x * Double(x1 - x0)), y1 - Int(y * Double(y1 - y0)))
    }
    for (index, curve) in panel.curves.enumerated() {
      let color = Canvas.Color.series[index % Canvas.Color.series.count]
      let places = curve.points.filter { $0.x.isFinite && $0.y.isFinite }.map(position)
      for (a, b) in zip(places, places.dropFirst()) { canvas.line(a.0, a.1, b.0, b.1, color: color) }
      for place in places { canvas.dot(place.0, place.1, color: color) }
      canvas.text(curve.name.uppercased(), x: x1 - 130, y: y0 + 4 + 11 * index, color: color)
    }
  }

  /// The values' range, never empty.
  private static func range(_ values: [Double]) -> ClosedRange<Double> {
    let (low, high) = (values.min() ?? 0, values.max() ?? 1)
    return high > low ? low...high : low - 0.5...low + 0.5
  }

  private static func label(_ value: Double) -> String {
    let magnitude = abs(value)
    if magnitude != 0 && magnitude < 0.01 { return String(format: "%.1E", value) }
    return String(format: "%.4g", value)
  }
}
