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
  /// Makes a device that only counts; told whether weights stay with the host and are brought as they are used.
  let makeBackends: (_ streamsWeights: Bool) throws -> PlanningBackends
  /// Where times are from; told whether what is known is found out again.
  let timing: (_ again: Bool) -> any PlanTiming
  /// Brings what computes into memory, so that it can be counted.
  let loadCode: () throws -> Void
}

/// Why runs on a device cannot be planned, though they may run.
struct PlanningUnavailable: Error, CustomStringConvertible {
  let searched: [String]

  var description: String {
    "plans for Ascend NPUs: expected libAscendEmulator.so at \(searched.joined(separator: " or ")), found none; make build and "
      + "make install put it there"
  }
}
