import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The threads that all loops of the backend share: the caller and `threads - 1` workers.
final class WorkerPool: @unchecked Sendable {
  // Sendable: the job is guarded by the lock, the rest is atomic or constant once the pool is made.

  /// One parallel loop. Workers that wake late find no index left and never touch the body.
  private final class Job: @unchecked Sendable {
    let body: UnsafePointer<(Int) -> Void>
    let count: Int
    let next = Atomic<Int>(0)
    let finished = Atomic<Int>(0)

    init(body: UnsafePointer<(Int) -> Void>, count: Int) {
      self.body = body
      self.count = count
    }

    /// Takes indices until none is left; returns whether it finished the last one.
    func work() -> Bool {
      var isLast = false
      while true {
        let index = next.add(1, ordering: .relaxed).oldValue
        if index >= count { return isLast }
        body.pointee(index)
        isLast = finished.add(1, ordering: .acquiringAndReleasing).newValue == count
      }
    }
  }

  /// Pools by size: backends with the same number of threads share theirs.
  private static let pools = Mutex<[Int: WorkerPool]>([:])

  static func shared(threads: Int) -> WorkerPool {
    pools.withLock { pools in
      if let pool = pools[threads] { return pool }
      let pool = WorkerPool(threads: threads)
      pools[threads] = pool
      return pool
    }
  }

  let threads: Int
  /// Workers that the system did not give: the others do their part.
  private(set) var missingWorkers = 0
  /// How often to look for news before sleeping, about 20 microseconds: loops follow each other closely in a network.
  private static let spins = 20_000

  private let generation = Atomic<Int>(0)
  private let isBusy = Atomic<Bool>(false)
  private let signal = Signal()
  private var job: Job?  // guarded by `signal`
  private var arenas = WorkerArenas()  // guarded by `isBusy`

  private init(threads: Int) {
    self.threads = threads
    for worker in 1..<max(threads, 1) {
      let isStarted = startThread { [self] in
        OneDNN.useCallingThreadOnly()
        ThreadState.worker = worker
        serve()
      }
      if !isStarted { missingWorkers += 1 }
    }
  }

  /// Calls the body once for every index below `count`, on all threads; returns when all calls have. Inside another
  /// parallel loop, or while another thread has the pool, the calls run one after another on the caller.
  /// - Throws: the first error of the body. The remaining calls are made all the same.
  func parallel<Failure: Error>(count: Int, _ body: (Int) throws(Failure) -> Void) throws(Failure) {
    try parallel(count: count, scratch: 0) { (index, _) throws(Failure) in try body(index) }
  }

  /// The same with working memory for each call: `scratch` floats that are the thread's and hold what its last call left.
  func parallel<Failure: Error>(
    count: Int, scratch: Int, _ body: (Int, UnsafeMutablePointer<Float>) throws(Failure) -> Void
  ) throws(Failure) {
    if count == 0 { return }
    OneDNN.useCallingThreadOnly()
    let isAlone = count == 1 || threads == 1 || ThreadState.worker != nil
    if isAlone || isBusy.exchange(true, ordering: .acquiring) {
      try Scratch.with(count: scratch) { (memory) throws(Failure) in
        for index in 0..<count { try body(index, memory) }
      }
      return
    }
    defer { isBusy.store(false, ordering: .releasing) }
    arenas.reserve(scratch, threads: threads)
    let arenas = arenas
    let failure = Mutex<Failure?>(nil)
    func run(_ index: Int) {
      do throws(Failure) { try body(index, arenas.memory(of: ThreadState.worker ?? 0)) } catch {
        failure.withLock { $0 = $0 ?? error }
      }
    }
    withoutActuallyEscaping(run) { run in
      withUnsafePointer(to: run) { submit(Job(body: $0, count: count)) }
    }
    if let error = failure.withLock({ $0 }) { throw error }
  }

  /// Gives the threads' working memory up; the next loop takes what it needs.
  func releaseArenas() {
    if isBusy.exchange(true, ordering: .acquiring) { return }
    arenas = WorkerArenas()
    isBusy.store(false, ordering: .releasing)
  }

  /// Divides `0..<count` into ranges of at least `grain` (but the last) and calls the body with each.
  func parallelRanges<Failure: Error>(
    count: Int, grain: Int, _ body: (Range<Int>) throws(Failure) -> Void
  ) throws(Failure) {
    try parallelRanges(count: count, grain: grain, scratch: 0) { (range, _) throws(Failure) in try body(range) }
  }

  /// The same with working memory for each call.
  func parallelRanges<Failure: Error>(
    count: Int, grain: Int, scratch: Int, _ body: (Range<Int>, UnsafeMutablePointer<Float>) throws(Failure) -> Void
  ) throws(Failure) {
    if count == 0 { return }
    let size = rangeSize(count: count, grain: grain)
    try parallel(count: (count + size - 1) / size, scratch: scratch) { (index, memory) throws(Failure) in
      try body(index * size..<min((index + 1) * size, count), memory)
    }
  }

  /// How `parallelRanges` divides. A few ranges per thread even out what other work on the machine takes away.
  func rangeSize(count: Int, grain: Int) -> Int {
    let ranges = max(1, min(count / max(grain, 1), 4 * threads))
    return (count + ranges - 1) / ranges
  }

  /// How many calls of its body `parallelRanges` makes.
  func rangeCount(count: Int, grain: Int) -> Int {
    if count == 0 { return 0 }
    let size = rangeSize(count: count, grain: grain)
    return (count + size - 1) / size
  }

  private func submit(_ job: Job) {
    signal.locked {
      self.job = job
      generation.add(1, ordering: .releasing)
    }
    signal.broadcast()
    ThreadState.worker = 0
    defer { ThreadState.worker = nil }
    if job.work() { return }
    for _ in 0..<WorkerPool.spins where job.finished.load(ordering: .acquiring) == job.count { return }
    signal.wait { job.finished.load(ordering: .acquiring) == job.count }
  }

  /// A worker's life.
  private func serve() {
    var seen = 0
    while true {
      for _ in 0..<WorkerPool.spins where generation.load(ordering: .acquiring) != seen { break }
      var current: Job?
      signal.wait {
        generation.load(ordering: .acquiring) != seen
      } then: {
        seen = generation.load(ordering: .relaxed)
        current = job
      }
      if current?.work() == true {
        signal.locked {}  // the caller is now either before its check or asleep
        signal.broadcast()
      }
    }
  }
}
