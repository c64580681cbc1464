import BackendConformance
import Foundation
import TensorCore
import TensorOps

/// Every operation of a device beside the same in plain loops on the processor, with the same inputs: a table to send back.
struct ConformanceReport: Encodable {
  enum Verdict: String, Encodable {
    case agrees, differs, failed
  }

  struct Row: Encodable {
    /// The first word of the case: `linear`, `attention`, …
    let operation: String
    let name: String
    let dtype: String
    /// `‖device - reference‖ / ‖reference‖`, the largest of the case's results; nil where there are none to compare.
    let relativeDifference: Double?
    let allowed: Double
    let verdict: Verdict
    /// What failed, and how.
    let reason: String?
    /// Of the case on the device, the copies of its inputs and results included.
    let milliseconds: Double

    enum CodingKeys: String, CodingKey {
      case operation, name, dtype, allowed, verdict, reason, milliseconds
      case relativeDifference = "relative_difference"
    }
  }

  let device: String
  let components: [String: String]
  let warnings: [String]
  let version = ProgramVersion.current
  let rows: [Row]
  let agreeing: Int

  /// Runs all cases.
  /// - Parameters:
  ///   - backends: one for each type of activations.
  ///   - progress: told of each case before it runs: a device that dies takes the last name with it.
  init(_ device: any ComputeDevice, on backends: [any Backend], progress: (String) -> Void) {
    self.device = device.name
    components = device.components
    warnings = device.warnings
    rows = backends.flatMap { backend in
      ConformanceCase.all.map { conformance in
        progress("\(backend.activationType): \(conformance.name)")
        return Self.row(conformance, on: backend)
      }
    }
    agreeing = rows.count { $0.verdict == .agrees }
  }

  var isWhole: Bool { agreeing == rows.count }

  private static func row(_ conformance: ConformanceCase, on backend: any Backend) -> Row {
    let dtype = backend.activationType
    // What rounding results to the type comes to, and sums of a few hundred rounded terms.
    let allowed = dtype == .bfloat16 ? 8e-3 : dtype == .float16 ? 1e-3 : conformance.relative
    let start = ContinuousClock.now
    var milliseconds: Double { start.duration(to: .now) / .milliseconds(1) }
    func row(_ verdict: Verdict, _ difference: Double? = nil, _ reason: String? = nil, after time: Double) -> Row {
      Row(
        operation: conformance.name.split { !$0.isLetter }.first.map(String.init) ?? "", name: conformance.name,
        dtype: dtype.word, relativeDifference: difference, allowed: allowed, verdict: verdict, reason: reason,
        milliseconds: time)
    }
    do {
      let found = try conformance.run(backend, rounding: dtype)
      let time = milliseconds
      let expected = try conformance.run(ReferenceBackend(), rounding: dtype)
      let comparisons = zip(found, expected).map { Comparison($0, $1) }
      if let wrong = comparisons.first(where: { !$0.isWithin(relative: allowed) }) {
        let difference = wrong.relativeNorm.isFinite ? wrong.relativeNorm : nil
        return row(.differs, difference, "\(wrong)", after: time)
      }
      return row(.agrees, comparisons.map(\.relativeNorm).max(), after: time)
    } catch { return row(.failed, nil, "\(error)", after: milliseconds) }
  }

  // MARK: Printing

  var text: String {
    var lines = ["operation           type  difference  allowed  verdict       ms  case"]
    for row in rows {
      let difference = row.relativeDifference.map { String(format: "%10.1e", $0) } ?? "         -"
      lines.append(
        pad(row.operation, 18) + "  " + pad(row.dtype, 4) + "  " + difference
          + String(format: "  %7.0e", row.allowed) + "  " + pad(row.verdict.rawValue, 7)
          + String(format: "  %7.2f", row.milliseconds) + "  " + row.name)
      if let reason = row.reason { lines.append("    " + reason) }
    }
    let parts = components.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
    lines.append(
      "\(agreeing) of \(rows.count) cases agree with the reference on \(device) (\(parts.joined(separator: ", ")), "
        + "hyvideo \(version))")
    return lines.joined(separator: "\n")
  }

  private func pad(_ text: String, _ width: Int) -> String {
    text.padding(toLength: max(text.count, width), withPad: " ", startingAt: 0)
  }

  func json() throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(self), as: UTF8.self)
  }
}
