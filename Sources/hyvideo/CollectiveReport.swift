import Collectives
import Foundation
import Generation
import TensorCore
import TensorOps

/// The operations by which ranks exchange tensors, each with what it should have given: a table to send back.
struct CollectiveReport: Encodable {
  struct Row: Encodable {
    let operation: String
    /// Of a tensor, about.
    let elements: Int
    let dtype: String
    let verdict: ConformanceReport.Verdict
    /// What differs or failed, and on which ranks.
    let reasons: [String]
    /// What the first rank has sent.
    let bytesSent: Int
    /// Of the rank that took longest, the copies of its tensors from and to the host included.
    let milliseconds: Double

    enum CodingKeys: String, CodingKey {
      case operation, elements, dtype, verdict, reasons, milliseconds
      case bytesSent = "bytes_sent"
    }
  }

  let device: String
  let ranks: Int
  /// Whether tensors go from device to device, or by way of the hosts.
  let goesBetweenDevices: Bool
  let components: [String: String]
  let warnings: [String]
  let version = ProgramVersion.current
  let rows: [Row]
  /// Cases that were not begun, because ranks do not know of each other any more after a failure.
  let notRun: Int
  let agreeing: Int

  enum CodingKeys: String, CodingKey {
    case device, ranks, components, warnings, version, rows, agreeing
    case goesBetweenDevices = "goes_between_devices"
    case notRun = "not_run"
  }

  /// What a rank found of a case.
  private struct Finding: Codable {
    var difference: String?
    var failure: String?
    var milliseconds = 0.0
  }

  /// Runs all cases. All ranks call this, and all know the verdicts.
  /// - Parameters:
  ///   - backends: one for each type of activations.
  ///   - progress: told of each case before it runs.
  init(
    _ device: any ComputeDevice, on backends: [any Backend], _ session: RankSession, progress: (String) -> Void
  ) throws {
    let group = try session.together { try device.group(session.group) }
    var rows: [Row] = []
    let cases = backends.flatMap { backend in CollectiveCase.all.map { (backend, $0) } }
    for (backend, collective) in cases {
      progress("\(backend.activationType): \(collective.operation)")
      let before = group.statistics
      let mine = Self.run(collective, on: backend, in: group)
      let sent = group.statistics.since(before).bytesSent
      // By the processes, which get on without the devices.
      let all = try session.group.allGather([UInt8](JSONEncoder().encode(mine))).map {
        try JSONDecoder().decode(Finding.self, from: Data($0))
      }
      let hasFailed = all.contains { $0.failure != nil }
      let reasons = all.enumerated().compactMap { rank, finding in
        (finding.failure ?? finding.difference).map { "rank \(rank): \($0)" }
      }
      rows.append(
        Row(
          operation: collective.operation, elements: collective.elements, dtype: backend.activationType.word,
          verdict: hasFailed ? .failed : reasons.isEmpty ? .agrees : .differs, reasons: reasons, bytesSent: sent,
          milliseconds: all.map(\.milliseconds).max() ?? 0))
      if hasFailed { break }
    }
    self.device = device.name
    ranks = group.size
    goesBetweenDevices = group.takesDeviceTensors
    components = device.components
    warnings = device.warnings
    self.rows = rows
    notRun = cases.count - rows.count
    agreeing = rows.count { $0.verdict == .agrees }
  }

  private static func run(
    _ collective: CollectiveCase, on backend: any Backend, in group: any ProcessGroup
  ) -> Finding {
    var finding = Finding()
    let start = ContinuousClock.now
    do { try collective.run(on: backend, in: group) } catch let difference as CollectiveDifference {
      finding.difference = "\(difference)"
    } catch { finding.failure = "\(error)" }
    finding.milliseconds = start.duration(to: .now) / .milliseconds(1)
    return finding
  }

  var isWhole: Bool { agreeing == rows.count && notRun == 0 }

  var text: String {
    var lines = ["type  verdict       ms  MB sent  elements  operation"]
    for row in rows {
      lines.append(
        row.dtype + "  " + row.verdict.rawValue.padding(toLength: 7, withPad: " ", startingAt: 0)
          + String(
            format: "  %7.2f  %7.3f  %8d  ", row.milliseconds, Double(row.bytesSent) / 1e6, row.elements)
          + row.operation)
      lines += row.reasons.map { "    " + $0 }
    }
    if notRun > 0 { lines.append("\(notRun) more were not run after the failure") }
    let parts = components.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
    lines.append(
      "\(agreeing) of \(rows.count + notRun) operations agree on \(ranks) ranks, "
        + (goesBetweenDevices ? "from device to device" : "by way of the hosts")
        + ", the first on \(device) (\(parts.joined(separator: ", ")), hyvideo \(version))")
    return lines.joined(separator: "\n")
  }

  func json() throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(self), as: UTF8.self)
  }
}
