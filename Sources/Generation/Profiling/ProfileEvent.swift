/// What kind of thing took a stretch of a run's time; the text stands in the file.
enum ProfileCategory: String, Sendable {
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

/// What a device is asked for, and the wait for other ranks; the text stands in the file.
enum ProfiledCall: String, Sendable {
  case upload, download, adopt
  case linear, embedding
  case layerNorm = "layer_norm"
  case rmsNorm = "rms_norm"
  case headNorm = "head_norm"
  case groupNorm = "group_norm"
  case attention
  case mergeAttention = "merge_attention"
  case causalConvolution = "causal_convolution"
  case activate
  case gatedSiLU = "gated_silu"
  case residual, combination, contiguous, concatenate
  case meanOverTokens = "mean_over_tokens"
  case absoluteSum = "absolute_sum"
  case isFinite = "is_finite"
  case wait
}

/// Something that took a stretch of a run's time, on one rank.
///
/// There are a hundred and more in each step: 48 bytes without a reference, so that one is written without counting references,
/// and few pages of memory are taken for the first time.
struct ProfileEvent: Sendable {
  enum Name: Sendable {
    case call(ProfiledCall)
    /// The number of a text in the recording's names.
    case text(UInt32)
  }

  /// Nanoseconds of the rank's clock.
  let start: Int64
  let duration: Int64
  /// Multiplications and additions, each counted; 0 where they are not what the work consists of.
  var operations = 0.0
  /// Read and written, sent and received, or asked from the disk.
  var bytes = 0.0
  /// When the device did it; `none` where it has no clock.
  var deviceRange = DeviceRange.none
  let name: Name
  let category: ProfileCategory
  /// Whether a cache stood for a step's blocks.
  var skipped = false

  init(
    _ category: ProfileCategory, _ name: Name, from start: ProfileMoment, to end: ProfileMoment, operations: Double = 0,
    bytes: Double = 0
  ) {
    (self.category, self.name) = (category, name)
    (self.start, duration) = (start.time, end.time - start.time)
    (self.operations, self.bytes) = (operations, bytes)
    deviceRange = DeviceRange(from: start.mark, to: end.mark)
  }

  var end: Int64 { start + duration }
}

/// Where a rank and its device are.
struct ProfileMoment: Sendable {
  /// Nanoseconds of the rank's clock.
  let time: Int64
  /// The number of the moment by the device's clock, where it has one.
  var mark: Int?
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
