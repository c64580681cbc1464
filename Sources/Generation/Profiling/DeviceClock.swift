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

/// What a device did between two moments of its clock.
struct DeviceRange: Sendable {
  let name: String
  let begin: Int
  let end: Int
}
