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
    private var names: [String] = []
    private var numbers: [String: UInt32] = [:]
    private var blocks: [BlockKey: ProfileEvent.Name] = [:]
    var transfers: [ProfileTransfer] = []
    var samples: [ProfileSample] = []
    /// Events that found no room.
    var lost = 0

    /// The name of an event, whose text is kept once.
    mutating func name(_ text: String) -> ProfileEvent.Name {
      if let number = numbers[text] { return .text(number) }
      let number = UInt32(names.count)
      numbers[text] = number
      names.append(text)
      return .text(number)
    }

    /// The name of an event that is a block: its text is put together once.
    mutating func name(_ block: BlockName) -> ProfileEvent.Name {
      let key = BlockKey(network: block.network.utf8Start, path: block.path.utf8Start, index: block.index ?? -1)
      if let name = blocks[key] { return name }
      let name = name("\(block.network): \(block.block)")
      blocks[key] = name
      return name
    }

    func text(_ name: ProfileEvent.Name) -> String {
      switch name {
      case .call(let call): call.rawValue
      case .text(let number): names[Int(number)]
      }
    }
  }

  /// A block by where its texts lie.
  private struct BlockKey: Hashable, @unchecked Sendable {
    let network: UnsafePointer<UInt8>
    let path: UnsafePointer<UInt8>
    let index: Int
  }

  private struct State {
    var recording = Recording()
    /// Stages and steps that have begun and not ended.
    var open: [(span: RunSpan, name: String, start: ProfileMoment)] = []
    /// Where the block before ended, and where the first operation after that began.
    var blockEnd = ProfileMoment(time: 0)
    var firstOperation: Int64?
    var isRecording: Bool
    /// The clock when all ranks had met.
    var origin: Int64
  }

  /// 48 bytes each: a run of a thousand steps of the 13 B network fits.
  private static let eventLimit = 4 << 20
  /// Nanoseconds between two samples of memory.
  private static let sampleInterval: Int64 = 50_000_000

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

  // MARK: Moments

  /// Where this rank and its device are now. Not inlined, as `record`: one text for all operations is more often in a cache.
  @inline(never)
  func moment() -> ProfileMoment { ProfileMoment(time: Self.now, mark: mark()) }

  /// Notes where the device is in its work, where it has a clock and something is recorded.
  func mark() -> Int? {
    guard let deviceClock, state.withLock(\.isRecording) else { return nil }
    return deviceClock.mark()
  }

  // MARK: Spans

  public func begin(_ span: RunSpan, _ name: String) {
    if extent == .denoising && span == .stage {
      state.withLock { $0.isRecording = name == GenerationStage.denoise.rawValue }
    }
    let now = moment()
    state.withLock { state in
      state.open.append((span, name, now))
      (state.blockEnd, state.firstOperation) = (now, nil)
      sample(&state, now.time, isDue: span == .stage)
    }
  }

  public func end(_ span: RunSpan, skipped: Bool) {
    let now = moment()
    state.withLock { state in
      // What a failure left open ends with what it lies in.
      while let last = state.open.last {
        if last.span == .step { closeBlock(&state, state.recording.name("sampler: rest of the step"), now) }
        state.open.removeLast()
        append(last.span == .stage ? .stage : .step, state.recording.name(last.name), from: last.start, to: now, &state)
        {
          $0.skipped = skipped && last.span == span
        }
        if last.span == span { break }
      }
      sample(&state, now.time, isDue: span == .stage)
      if extent == .denoising && span == .stage { state.isRecording = false }
    }
  }

  public func blockDidEnd(_ block: BlockName) {
    let now = moment()
    state.withLock { state in
      closeBlock(&state, state.recording.name(block), now)
      sample(&state, now.time)
    }
  }

  /// The blocks of a step fill it without gaps; elsewhere a block begins with its first operation, since what a stage does between
  /// its parts (frames to the encoder) is no part of a network.
  private func closeBlock(_ state: inout State, _ name: ProfileEvent.Name, _ now: ProfileMoment) {
    let isInStep = state.open.last?.span == .step
    let start = isInStep ? state.blockEnd.time : state.firstOperation ?? now.time
    append(.block, name, from: ProfileMoment(time: start, mark: state.blockEnd.mark), to: now, &state)
    (state.blockEnd, state.firstOperation) = (now, nil)
  }

  // MARK: Events

  /// Records a call that began at `start` and ends now.
  /// - Parameter mark: when the device will have done it.
  @inline(never)
  func record(
    _ category: ProfileCategory, _ call: ProfiledCall, since start: ProfileMoment, to mark: Int? = nil,
    operations: Double = 0, bytes: Double
  ) {
    let event = ProfileEvent(
      category, .call(call), from: start, to: ProfileMoment(time: Self.now, mark: mark), operations: operations,
      bytes: bytes)
    state.withLock { state in
      if !hasRoom(&state) { return }
      // A weight that is adopted where it lies is no work of a block yet.
      if category == .operation && bytes > 0 && state.firstOperation == nil { state.firstOperation = start.time }
      state.recording.events.append(event)
    }
  }

  /// Records weights that have been read since `start`.
  func recordWeights(_ name: String, since start: ProfileMoment, bytes: Int) {
    let now = ProfileMoment(time: Self.now)
    state.withLock { append(.weights, $0.recording.name(name), from: start, to: now, &$0) { $0.bytes = Double(bytes) } }
  }

  func record(_ transfer: ProfileTransfer) {
    state.withLock { state in
      if state.isRecording && state.recording.transfers.count < Self.eventLimit {
        state.recording.transfers.append(transfer)
      }
    }
  }

  private func append(
    _ category: ProfileCategory, _ name: ProfileEvent.Name, from start: ProfileMoment, to end: ProfileMoment,
    _ state: inout State,
    _ completion: (inout ProfileEvent) -> Void = { _ in }
  ) {
    if !hasRoom(&state) { return }
    var event = ProfileEvent(category, name, from: start, to: end)
    completion(&event)
    state.recording.events.append(event)
  }

  /// Whether an event is to be recorded; one that is, and finds no room, is counted.
  private func hasRoom(_ state: inout State) -> Bool {
    if !state.isRecording { return false }
    if state.recording.events.count < Self.eventLimit { return true }
    state.recording.lost += 1
    return false
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
    let recording = state.withLock(\.recording)
    return recording.events.filter { $0.category == .operation }.reduce(into: [:]) {
      $0[recording.text($1.name), default: 0] += Double($1.duration) / 1e9
    }
  }

  /// Everything so far, what the device did by its own clock included; spans that are open end now.
  func finished() -> Recording {
    while let span = state.withLock({ $0.open.last?.span }) { end(span, skipped: false) }
    var recording = state.withLock(\.recording)
    guard let moments = deviceClock?.moments() else { return recording }
    let ranges = recording.events.compactMap { event in event.deviceRange.times(moments).map { (event.name, $0) } }
    for (name, range) in ranges {
      let start = deviceOrigin + range.start
      recording.events.append(
        ProfileEvent(
          .device, name, from: ProfileMoment(time: start), to: ProfileMoment(time: start + range.duration)))
    }
    return recording
  }
}
