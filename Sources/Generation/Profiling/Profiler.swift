public import Collectives
public import Layers
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Records what a rank does and when: stages, steps, blocks, operations, transfers, weights read ahead, memory. Give it to a
/// `ForwardContext` as its recorder, with a `ProfilingBackend` and a `ProfilingGroup` around the backend and the group.
///
/// A recorded event costs well under a microsecond. Nothing is written before `trace`.
public final class Profiler: ForwardRecorder {
  /// Which part of a run is recorded.
  public enum Extent: String, Sendable {
    case run
    /// The steps alone: the transformer without what comes before and after.
    case denoising
  }

  struct Recording: Sendable {
    var events = ChunkedList<ProfileEvent>()
    var transfers: [ProfileTransfer] = []
    var samples: [ProfileSample] = []
    /// By the device's clock, where it has one.
    var deviceRanges: [DeviceRange] = []
    /// Events that found no room.
    var lost = 0
  }

  private struct State {
    var recording = Recording()
    /// Stages and steps that have begun and not ended.
    var open: [(span: RunSpan, name: String, start: Int64, mark: Int?)] = []
    /// Where the block before ended, and where the first operation after that began.
    var blockEnd: Int64 = 0
    var firstOperation: Int64?
    /// The same by the device's clock.
    var blockMark: Int?
    var isRecording: Bool
    /// The clock when all ranks had met.
    var origin: Int64
  }

  /// About 100 bytes each: a run of a thousand steps of the 13 B network fits.
  private static let eventLimit = 4 << 20
  /// Nanoseconds between two samples of memory.
  private static let sampleInterval: Int64 = 20_000_000

  public let extent: Extent
  private let state: Mutex<State>
  private let sampler = MemorySampler()
  private let deviceClock: (any DeviceClock)?
  /// This rank's clock when the device's began.
  private let deviceOrigin: Int64

  /// - Parameters:
  ///   - group: the ranks that are recorded together; all of them begin now, and their clocks are set alike.
  ///   - deviceClock: of a device whose work does not end with its calls.
  public init(
    _ extent: Extent, group: any ProcessGroup = SingleProcessGroup(), deviceClock: (any DeviceClock)? = nil
  ) throws(CollectiveError) {
    self.extent = extent
    self.deviceClock = deviceClock
    deviceClock?.start()
    deviceOrigin = Profiler.now
    // The first meeting may wait for late ranks and set up connections; the second is left by all at nearly one time.
    try group.barrier()
    try group.barrier()
    state = Mutex(State(isRecording: extent == .run, origin: Profiler.now))
  }

  /// Nanoseconds of a clock that never goes back.
  static var now: Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
  }

  /// The clock when this rank began.
  var origin: Int64 { state.withLock(\.origin) }

  // MARK: Spans

  public func begin(_ span: RunSpan, _ name: String) {
    let now = Self.now
    state.withLock { state in
      if extent == .denoising && span == .stage { state.isRecording = name == GenerationStage.denoise.rawValue }
    }
    let mark = mark()
    state.withLock { state in
      state.open.append((span, name, now, mark))
      (state.blockEnd, state.firstOperation, state.blockMark) = (now, nil, mark)
      sample(&state, now, isDue: span == .stage)
    }
  }

  public func end(_ span: RunSpan, skipped: Bool) {
    let now = Self.now
    let mark = mark()
    state.withLock { state in
      // What a failure left open ends with what it lies in.
      while let last = state.open.last {
        if last.span == .step { closeBlock(&state, "sampler: rest of the step", now, mark) }
        state.open.removeLast()
        append(last.name, from: last.mark, to: mark, &state)
        let category: ProfileEvent.Category = last.span == .stage ? .stage : .step
        append(
          ProfileEvent(
            category: category, name: last.name, start: last.start, duration: now - last.start,
            skipped: skipped && last.span == span), to: &state)
        if last.span == span { break }
      }
      sample(&state, now, isDue: span == .stage)
      if extent == .denoising && span == .stage { state.isRecording = false }
    }
  }

  public func blockDidEnd(_ block: BlockName) {
    let now = Self.now
    let mark = mark()
    state.withLock { state in
      closeBlock(&state, "\(block.network): \(block.block)", now, mark)
      sample(&state, now)
    }
  }

  /// The blocks of a step fill it without gaps; elsewhere a block begins with its first operation, since what a stage does between
  /// its parts (frames to the encoder) is no part of a network.
  private func closeBlock(_ state: inout State, _ name: String, _ now: Int64, _ mark: Int?) {
    append(name, from: state.blockMark, to: mark, &state)
    state.blockMark = mark
    let isInStep = state.open.last?.span == .step
    let start = isInStep ? state.blockEnd : state.firstOperation ?? now
    (state.blockEnd, state.firstOperation) = (now, nil)
    append(ProfileEvent(category: .block, name: name, start: start, duration: now - start), to: &state)
  }

  // MARK: The device

  /// Notes where the device is in its work, where it has a clock and something is recorded.
  func mark() -> Int? {
    guard let deviceClock, state.withLock(\.isRecording) else { return nil }
    return deviceClock.mark()
  }

  /// Records what the device did between two marks.
  func record(_ name: String, from begin: Int?, to end: Int?) {
    if end != nil { state.withLock { append(name, from: begin, to: end, &$0) } }
  }

  private func append(_ name: String, from begin: Int?, to end: Int?, _ state: inout State) {
    guard let begin, let end, state.recording.deviceRanges.count < Self.eventLimit else { return }
    state.recording.deviceRanges.append(DeviceRange(name: name, begin: begin, end: end))
  }

  /// The device's ranges as events of this rank's clock.
  private func deviceEvents(_ ranges: [DeviceRange]) -> [ProfileEvent] {
    guard let moments = deviceClock?.moments() else { return [] }
    return ranges.filter { $0.end < moments.count }.map { range in
      ProfileEvent(
        category: .device, name: range.name, start: deviceOrigin + moments[range.begin],
        duration: moments[range.end] - moments[range.begin])
    }
  }

  // MARK: Events

  /// Records what began at `start` and ends now.
  func record(
    _ category: ProfileEvent.Category, _ name: String, since start: Int64, operations: Double = 0, bytes: Double = 0
  ) {
    let event = ProfileEvent(
      category: category, name: name, start: start, duration: Self.now - start, operations: operations, bytes: bytes)
    state.withLock { append(event, to: &$0) }
  }

  func record(_ transfer: ProfileTransfer) {
    state.withLock { state in
      if state.isRecording && state.recording.transfers.count < Self.eventLimit {
        state.recording.transfers.append(transfer)
      }
    }
  }

  private func append(_ event: ProfileEvent, to state: inout State) {
    if !state.isRecording { return }
    // A weight that is adopted where it lies is no work of a block yet.
    if event.category == .operation && event.bytes > 0 && state.firstOperation == nil {
      state.firstOperation = event.start
    }
    if state.recording.events.count < Self.eventLimit {
      state.recording.events.append(event)
    } else {
      state.recording.lost += 1
    }
  }

  /// - Parameter isDue: whether the last sample is too old whatever its age.
  private func sample(_ state: inout State, _ now: Int64, isDue: Bool = false) {
    if !isDue && now - (state.recording.samples.last?.time ?? 0) < Self.sampleInterval { return }
    if state.isRecording && state.recording.samples.count < Self.eventLimit {
      state.recording.samples.append(ProfileSample(time: now, memory: sampler.sample()))
    }
  }

  /// How long the operations of each name took together.
  public func secondsByOperation() -> [String: Double] {
    state.withLock { state in
      state.recording.events.filter { $0.category == .operation }.reduce(into: [:]) {
        $0[$1.name, default: 0] += Double($1.duration) / 1e9
      }
    }
  }

  /// Everything so far; spans that are open end now.
  func finished() -> Recording {
    while let span = state.withLock({ $0.open.last?.span }) { end(span, skipped: false) }
    var recording = state.withLock(\.recording)
    for event in deviceEvents(recording.deviceRanges) { recording.events.append(event) }
    return recording
  }
}
