import Generation
import TensorOps

/// How runs on a device are planned, whether or not it is here.
struct DevicePlanning {
  /// For reports: `cpu`, `ascend`.
  let name: String
  /// Host threads that compute.
  let threads: Int
  /// The device's own memory and where the figure is from; nil where it computes in the host's.
  let memory: (bytes: Int, source: String)?
  /// Whether the run would be on this host: only then does the host's memory bound it, and only then do files take what they have
  /// just taken.
  let isHere: Bool
  /// The devices of a host that its ranks take; nil where there is nothing to choose from.
  let cards: [String]?
  /// What users should know of the device that is here before they trust its results.
  var warnings: [String] = []
  /// Makes a device that only counts; told whether weights stay with the host and are brought as they are used.
  let makeBackends: (_ streamsWeights: Bool) throws -> PlanningBackends
  /// Where times are from; told whether what is known is found out again.
  let timing: (_ again: Bool) -> any PlanTiming
  /// Brings what computes into memory, so that it can be counted.
  let loadCode: () throws -> Void

  /// How many of some ranks are on a host; 1 where not all hosts have as many.
  func ranksPerHost(of ranks: Int) -> Int {
    guard let cards, ranks > cards.count else { return ranks }
    return ranks % cards.count == 0 ? cards.count : 1
  }
}

/// Why runs on a device cannot be planned, though they may run.
struct PlanningUnavailable: Error, CustomStringConvertible {
  let searched: [String]

  var description: String {
    "plans for Ascend NPUs: expected libAscendEmulator.so at \(searched.joined(separator: " or ")), found none; make build and "
      + "make install put it there"
  }
}
