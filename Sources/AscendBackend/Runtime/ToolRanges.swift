import CAscend

/// Ranges and marks for a profiler that watches the process (`msprof`): by `libms_tools_ext.so`, on the host and on the device's
/// stream; where this CANN lacks it by the stamps of `libmsprofiler.so`, whose ranges are on the host alone.
public struct ToolRanges: Sendable {
  private let device: AscendDevice
  private let functions: any ToolFunctions

  /// Nil where this CANN has neither library.
  public init?(_ device: AscendDevice) {
    self.device = device
    if let functions = MSTXFunctions(device.libraries) {
      self.functions = functions
    } else if let functions = ToolStamps(device.libraries) {
      self.functions = functions
    } else {
      return nil
    }
  }

  /// Begins a range. Its device time begins with the next operation on the stream.
  /// - Returns: what ends it; 0 where nothing has begun.
  public func begin(_ name: String) -> UInt64 {
    device.thread.run { functions.begin(ToolRanges.shortened(name), device.stream) }
  }

  public func finish(_ range: UInt64) {
    if range != 0 { device.thread.run { functions.finish(range) } }
  }

  /// Marks what the stream has come to.
  public func mark(_ name: String) {
    device.thread.run { functions.mark(ToolRanges.shortened(name), device.stream) }
  }

  /// As much of a name as profilers take: they have 128 bytes, of which stamps leave the last two empty.
  static func shortened(_ name: String) -> String {
    if name.utf8.count <= 126 { return name }
    var length = 0
    return String(
      name.prefix {
        length += $0.utf8.count
        return length <= 126
      })
  }
}

/// One of the ways to tell a profiler. Confined to the device's thread.
protocol ToolFunctions: Sendable {
  /// - Returns: what ends the range; 0 where nothing has begun.
  func begin(_ name: String, _ stream: aclrtStream?) -> UInt64
  func finish(_ range: UInt64)
  func mark(_ name: String, _ stream: aclrtStream?)
}

/// `mstx…`, which do nothing without a profiler.
private struct MSTXFunctions: ToolFunctions {
  private let markStream: mstxMarkAFunction
  private let start: mstxRangeStartAFunction
  private let end: mstxRangeEndFunction

  init?(_ libraries: CANNLibraries) {
    guard let markStream = libraries.function("mstxMarkA", mstxMarkAFunction.self),
      let start = libraries.function("mstxRangeStartA", mstxRangeStartAFunction.self),
      let end = libraries.function("mstxRangeEnd", mstxRangeEndFunction.self)
    else { return nil }
    (self.markStream, self.start, self.end) = (markStream, start, end)
  }

  func begin(_ name: String, _ stream: aclrtStream?) -> UInt64 { start(name, stream) }
  func finish(_ range: UInt64) { end(range) }
  func mark(_ name: String, _ stream: aclrtStream?) { markStream(name, stream) }
}
