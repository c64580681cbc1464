/// Tells when a device comes to places in its own work, by its own clock, without the host waiting for it.
public protocol DeviceClock: Sendable {
  /// Begins now, when all that the device had to do is done.
  func start()

  /// Notes the moment at which the device will have done what it has been given so far.
  /// - Returns: the number of the moment, from 0.
  func mark() -> Int

  /// Nanoseconds from the start to each moment, in the order of the marks. Waits for the device.
  func moments() -> [Int64]
}

/// What a device did between two moments of its clock, by their numbers.
struct DeviceRange: Sendable {
  static let none = DeviceRange(from: nil, to: nil)

  private let begin: Int32
  private let end: Int32

  /// Marks beyond 32 bits are as none: a recording is full before.
  init(from begin: Int?, to end: Int?) {
    self.begin = begin.flatMap(Int32.init(exactly:)) ?? -1
    self.end = end.flatMap(Int32.init(exactly:)) ?? -1
  }

  /// Start and duration; nil for none, and where the device has not come so far.
  func times(_ moments: [Int64]) -> (start: Int64, duration: Int64)? {
    if begin < 0 || end < begin || Int(end) >= moments.count { return nil }
    return (moments[Int(begin)], moments[Int(end)] - moments[Int(begin)])
  }
}
