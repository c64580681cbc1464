/// How long a part of a run takes, by what is known of each share of it, and how far off that may be.
public struct PlannedTime: Sendable, Hashable {
  /// Of operations that were timed on this machine, at their shapes or with extents made smaller that only repeat work.
  public var timed = 0.0
  /// Of operations that were scaled from the most alike one that was timed.
  public var guessed = 0.0
  /// Of operations of which nothing alike was timed.
  public var unfounded = 0.0
  /// Of operations of a device that is not here, by its published limits.
  public var modelled = 0.0
  /// By rates that are the same everywhere, which nobody timed here: memory, messages, files, frames.
  public var assumed = 0.0
  /// In which nothing computes because weights are still to come, at the rate of the system's memory of files.
  public private(set) var reading = 0.0
  /// What more that would be if all of them came from a slow disk.
  public private(set) var slowReading = 0.0

  public init() {}

  public var seconds: Double { computing + reading }

  /// What operations take of which nothing was timed at their shape.
  public var untimed: Double { guessed + unfounded + modelled }

  private var computing: Double { timed + untimed + assumed }

  /// How far the time may be from what was planned. docs/planning.md says how many runs were within it.
  ///
  /// The shares err for reasons of their own, so that their doubts add up as the sides of a right angle do.
  public var uncertainty: Double {
    let doubts = [
      Self.doubtOfTimed * timed, Self.doubtOfGuessed * guessed, Self.doubtOfUnfounded * unfounded,
      Self.doubtOfModelled * modelled, Self.doubtOfAssumed * (assumed + reading), slowReading,
    ]
    return doubts.reduce(0) { $0 + $1 * $1 }.squareRoot() + (seconds > 0 ? Self.leastDoubt : 0)
  }

  // How far each share was off, as a part of it: the speed of the machine from minute to minute, what operations take beside each
  // other, shapes that are faster or slower than their likes.
  private static let doubtOfTimed = 0.25
  private static let doubtOfGuessed = 0.9
  private static let doubtOfUnfounded = 0.95
  private static let doubtOfModelled = 0.5
  private static let doubtOfAssumed = 0.5
  /// Seconds that any run is off by: processes start, files are opened.
  private static let leastDoubt = 0.03

  /// Adds weights that are read as they are used: whoever computes waits for them.
  /// - Parameters:
  ///   - fast: seconds of reading them from the system's memory of files.
  ///   - slow: seconds of reading them from a slow disk.
  public mutating func read(fast: Double, slow: Double) {
    assumed += fast
    slowReading += max(0, slow - fast)
  }

  /// Adds weights that are read ahead, while what is there already computes. Only what that leaves is waited for.
  public mutating func readAhead(fast: Double, slow: Double) {
    reading += max(0, fast - computing)
    slowReading += max(0, slow - max(fast, computing))
  }

  public static func += (a: inout PlannedTime, b: PlannedTime) {
    a.timed += b.timed
    a.guessed += b.guessed
    a.unfounded += b.unfounded
    a.modelled += b.modelled
    a.assumed += b.assumed
    a.reading += b.reading
    a.slowReading += b.slowReading
  }

  /// As many times the same.
  public static func * (a: PlannedTime, factor: Double) -> PlannedTime {
    var result = a
    result.timed *= factor
    result.guessed *= factor
    result.unfounded *= factor
    result.modelled *= factor
    result.assumed *= factor
    result.reading *= factor
    result.slowReading *= factor
    return result
  }
}
