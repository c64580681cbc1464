import AscendBackend
import Foundation
import Generation

/// The cards that the ranks of a planned run would take on each host: on this one where it has any, else on an Atlas 800I A2.
struct PlannedCards {
  /// As CANN numbers those of a host.
  let indices: Range<Int>
  /// What the first of them has free here, and its name; nil where no card is here.
  let memory: (bytes: Int, source: String)?
  /// What users should know of that card; see `ComputeDevice`.
  let warnings: [String]

  /// Of an Atlas 800I A2.
  private static let usualCount = 8

  /// - Parameters:
  ///   - first: the first rank's card, where one is asked for.
  ///   - ranks: of all hosts; where they are more than a host has cards, there are more hosts.
  /// - Throws: `RequestError` where such a host has too few cards.
  init(
    from first: Int?, ranks: Int, environment: [String: String] = ProcessInfo.processInfo.environment
  ) throws(RequestError) {
    let system = try? AscendSystem(environment: environment)
    let found = system.flatMap { try? $0.deviceCount() } ?? 0
    let count = found > 0 ? found : Self.usualCount
    let host = found > 0 ? "this host" : "an Atlas 800I A2"
    let start = first ?? 0
    if start >= count {
      throw RequestError(
        "no such NPU", at: "--device", expected: "an index below \(count), the number of cards of \(host)",
        found: "\(start)", remedy: "name a lower one, or none for the first")
    }
    let onHost = min(ranks, count)
    if start + onHost > count {
      throw RequestError(
        "too few NPUs", at: "--device, --ranks",
        expected: "a card for each of \(ranks) ranks, up to \(start + onHost - 1)", found: "\(count) on \(host)",
        remedy: "plan fewer ranks or take them from a lower card")
    }
    indices = start..<start + onHost
    let status = found > 0 ? try? system?.status(of: start) : nil
    memory = status.map { ($0.freeBytes, "free on ascend:\(start)") }
    warnings = status.flatMap { AscendSystem.doubt(aboutChip: $0.chip) }.map { [$0] } ?? []
  }

  var names: [String] { indices.map { "ascend:\($0)" } }
}
