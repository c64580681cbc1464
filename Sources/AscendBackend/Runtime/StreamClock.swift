import CAscend

/// Times of places on a device's stream, by events that the device passes. Failures leave times out: they are for profiles, and
/// whoever computes hears of a failure anyway.
public final class StreamClock: @unchecked Sendable {
  // Sendable: mutable state is confined to the device's thread.
  private let device: AscendDevice
  /// The event of the last moment that is known, and those behind it; nil where one could not be made.
  private var last: aclrtEvent?
  private var pending: [aclrtEvent?] = []
  private var unused: [aclrtEvent] = []
  private var known: [Double] = []

  /// Events that may be under way; the device is waited for then.
  private static let mostPending = 512

  public init(_ device: AscendDevice) { self.device = device }

  deinit {
    device.thread.run {
      for event in (pending + unused + [last]).compactMap({ $0 }) { _ = device.functions.destroyEvent(event) }
    }
  }

  /// Begins when the device has done what it has been given.
  public func start() {
    device.thread.run {
      last = recorded()
      _ = device.functions.synchronize(device.stream)
    }
  }

  /// Notes a place on the stream.
  /// - Returns: its number, from 0.
  public func mark() -> Int {
    device.thread.run {
      if pending.count >= Self.mostPending { read() }
      pending.append(recorded())
      return known.count + pending.count - 1
    }
  }

  /// Nanoseconds from the start to each place that was noted.
  public func moments() -> [Int64] {
    device.thread.run {
      read()
      return known.map { Int64($0.rounded()) }
    }
  }

  private func recorded() -> aclrtEvent? {
    guard let event = unused.popLast() ?? (try? AscendDevice.makeEvent(device.functions, isTimed: true)) else {
      return nil
    }
    if device.functions.recordEvent(event, device.stream) == 0 { return event }
    unused.append(event)
    return nil
  }

  /// Adds the time from each event to the next: those since the beginning of a long run would have few digits.
  private func read() {
    _ = device.functions.synchronize(device.stream)
    for event in pending {
      var milliseconds: Float = 0
      let isKnown = event != nil && last != nil && device.functions.elapsedTime(&milliseconds, last, event) == 0
      // What has no event has the time of the one before it.
      known.append((known.last ?? 0) + (isKnown ? 1e6 * Double(milliseconds) : 0))
      guard let event else { continue }
      if let last { unused.append(last) }
      last = event
    }
    pending = []
  }
}
