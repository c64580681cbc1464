import Foundation
import Generation
import TensorOps

/// Where times of operations are kept between runs.
struct TimesStore {
  private let file: MachineFile
  private(set) var times: OperationTimes

  init(device: String, threads: Int, isEmpty: Bool) {
    file = MachineFile("times", device: device, threads: threads)
    times = OperationTimes(provenance: file.provenance)
    if isEmpty { return }
    guard let stored = file.read(OperationTimes.self), stored.provenance == file.provenance else { return }
    times = stored
  }

  /// Times what is missing, and keeps it where there is a place for it.
  mutating func measure(_ stages: [OperationCounts], on backend: any Backend, forAtMost seconds: Double) throws {
    let before = (times.timings.count, times.newMemorySecondsPerByte)
    try times.measure(stages, on: backend, forAtMost: seconds)
    if (times.timings.count, times.newMemorySecondsPerByte) != before { file.write(times) }
  }
}
