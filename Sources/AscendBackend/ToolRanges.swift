import CAscend

/// Ranges and marks for a profiler that watches the process (`msprof`), on the host and on the device's stream, by
/// `libms_tools_ext.so`. Without the library they do nothing.
public struct ToolRanges: Sendable {
  private let device: AscendDevice
  private let mark: mstxMarkAFunction
  private let start: mstxRangeStartAFunction
  private let end: mstxRangeEndFunction

  /// Nil where this CANN has no such library.
  public init?(_ device: AscendDevice) {
    guard let mark = device.libraries.function("mstxMarkA", mstxMarkAFunction.self),
      let start = device.libraries.function("mstxRangeStartA", mstxRangeStartAFunction.self),
      let end = device.libraries.function("mstxRangeEnd", mstxRangeEndFunction.self)
    else { return nil }
    (self.device, self.mark, self.start, self.end) = (device, mark, start, end)
  }

  /// Begins a range. Its device time begins with the next operation on the stream.
  /// - Returns: what ends it; 0 where nothing has begun.
  public func begin(_ name: String) -> UInt64 {
    device.thread.run { start(name, device.stream) }
  }

  public func finish(_ range: UInt64) {
    if range != 0 { device.thread.run { end(range) } }
  }

  /// Marks what the stream has come to.
  public func mark(_ name: String) { device.thread.run { mark(name, device.stream) } }
}
