import CAscend

/// `aclprof…` stamps.
final class ToolStamps: ToolFunctions, @unchecked Sendable {
  // Sendable: only the device's thread changes it.
  private let create: aclprofCreateStampFunction
  private let destroy: aclprofDestroyStampFunction
  private let describe: aclprofSetStampTraceMessageFunction
  private let start: aclprofRangeStartFunction
  private let stop: aclprofRangeStopFunction
  private let markStream: aclprofMarkExFunction
  /// CANN's numbers of ranges under way, by their stamps.
  private var open: [UInt64: UInt32] = [:]
  /// Each attempt without a profiler is an error in CANN's log, so that the first is the last.
  private var isRecorded = true

  init?(_ libraries: CANNLibraries) {
    guard let create = libraries.function("aclprofCreateStamp", aclprofCreateStampFunction.self),
      let destroy = libraries.function("aclprofDestroyStamp", aclprofDestroyStampFunction.self),
      let describe = libraries.function("aclprofSetStampTraceMessage", aclprofSetStampTraceMessageFunction.self),
      let start = libraries.function("aclprofRangeStart", aclprofRangeStartFunction.self),
      let stop = libraries.function("aclprofRangeStop", aclprofRangeStopFunction.self),
      let markStream = libraries.function("aclprofMarkEx", aclprofMarkExFunction.self)
    else { return nil }
    (self.create, self.destroy, self.describe) = (create, destroy, describe)
    (self.start, self.stop, self.markStream) = (start, stop, markStream)
  }

  func begin(_ name: String, _ stream: aclrtStream?) -> UInt64 {
    guard isRecorded else { return 0 }
    guard let stamp = create() else {
      isRecorded = false
      return 0
    }
    var number: UInt32 = 0
    guard describe(stamp, name, UInt32(name.utf8.count)) == 0, start(stamp, &number) == 0 else {
      destroy(stamp)
      return 0
    }
    let range = UInt64(UInt(bitPattern: stamp))
    open[range] = number
    return range
  }

  func finish(_ range: UInt64) {
    guard let number = open.removeValue(forKey: range) else { return }
    // A range that is not recorded after all is no reason to keep its stamp.
    _ = stop(number)
    destroy(UnsafeMutableRawPointer(bitPattern: UInt(range)))
  }

  func mark(_ name: String, _ stream: aclrtStream?) {
    if isRecorded { isRecorded = markStream(name, name.utf8.count, stream) == 0 }
  }
}
