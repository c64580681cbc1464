/// Something that took a stretch of a run's time, on one rank.
struct ProfileEvent: Sendable {
  /// What kind of thing it was; the text stands in the file.
  enum Category: String, Sendable {
    case stage, step, block, operation, communication, weights
    /// Stages, steps, blocks and operations once more, by the clock of the device.
    case device

    /// Stages hold steps, steps blocks, blocks operations, operations waits: all of one track. What goes on beside the work
    /// has a track of its own.
    var track: Int {
      switch self {
      case .weights: 2
      case .device: 3
      default: 1
      }
    }
  }

  let category: Category
  let name: String
  /// Nanoseconds of the rank's clock.
  let start: Int64
  var duration: Int64
  /// Multiplications and additions, each counted; 0 where they are not what the work consists of.
  var operations = 0.0
  /// Read and written, sent and received, or asked from the disk.
  var bytes = 0.0
  /// Whether a cache stood for a step's blocks.
  var skipped = false

  var end: Int64 { start + duration }
}

/// A transfer between ranks, from its start to the end of the wait for it; transfers overlap each other and the work.
struct ProfileTransfer: Sendable {
  let start: Int64
  let end: Int64
  let bytes: Double
}

/// The process's memory and what it has read, at one moment.
struct ProfileSample: Sendable {
  let time: Int64
  let memory: MemorySample
}
