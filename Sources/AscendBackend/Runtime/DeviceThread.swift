#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The one thread that talks to a device. CANN's current device, its messages and its caches of prepared operators belong
/// to a thread, while Swift's tasks hop between threads.
final class DeviceThread: @unchecked Sendable {
  // Sendable: jobs are guarded by the lock; the thread's identity is written before anyone else can see it.

  /// Something to do, perhaps with somebody waiting for it. What changes is guarded by the queue's lock.
  fileprivate final class Job {
    private var body: (() -> Void)?
    var isAwaited: Bool
    var isDone = false

    init(isAwaited: Bool, _ body: @escaping () -> Void) {
      self.body = body
      self.isAwaited = isAwaited
    }

    /// Does it, and lets go of what it held: that may be the last to know the device, whose end takes the lock.
    func run() {
      body?()
      body = nil
    }
  }

  fileprivate final class Queue: @unchecked Sendable {
    // Sendable: everything is guarded by the lock.
    let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    var jobs: [Job] = []
    var isClosed = false
    var thread: pthread_t?

    init() {
      pthread_mutex_init(lock, nil)
      pthread_cond_init(changed, nil)
    }

    deinit {
      pthread_cond_destroy(changed)
      pthread_mutex_destroy(lock)
      changed.deallocate()
      lock.deallocate()
    }

    /// The thread's life: jobs in the order in which they came, those that came before the end included.
    func serve() {
      pthread_mutex_lock(lock)
      thread = pthread_self()
      while true {
        while jobs.isEmpty && !isClosed { pthread_cond_wait(changed, lock) }
        if jobs.isEmpty { break }
        let job = jobs.removeFirst()
        pthread_mutex_unlock(lock)
        job.run()
        pthread_mutex_lock(lock)
        job.isDone = true
        if job.isAwaited { pthread_cond_broadcast(changed) }
      }
      pthread_mutex_unlock(lock)
    }

    func add(_ job: Job) {
      pthread_mutex_lock(lock)
      jobs.append(job)
      pthread_cond_broadcast(changed)
      pthread_mutex_unlock(lock)
    }

    /// Returns when a job is done, whatever comes behind it.
    func wait(for job: Job) {
      pthread_mutex_lock(lock)
      job.isAwaited = true
      while !job.isDone { pthread_cond_wait(changed, lock) }
      pthread_mutex_unlock(lock)
    }

    func close() {
      pthread_mutex_lock(lock)
      isClosed = true
      pthread_cond_broadcast(changed)
      pthread_mutex_unlock(lock)
    }

    var isCurrent: Bool {
      pthread_mutex_lock(lock)
      defer { pthread_mutex_unlock(lock) }
      return thread.map { pthread_equal($0, pthread_self()) != 0 } ?? false
    }
  }

  private let queue = Queue()

  init() {
    var thread = pthread_t()
    let status = pthread_create(
      &thread, nil,
      { argument in
        if let argument { Unmanaged<Queue>.fromOpaque(argument).takeRetainedValue().serve() }
        return nil
      }, Unmanaged.passRetained(queue).toOpaque())
    precondition(status == 0, "device thread: the system refused a thread: \(String(cString: strerror(status)))")
    pthread_detach(thread)
  }

  /// Ends the thread after the jobs that were given to it.
  deinit { queue.close() }

  /// Whether the caller runs on the thread.
  var isCurrent: Bool { queue.isCurrent }

  /// Runs something on the thread and waits for it; at once where the caller is on the thread.
  func run<Value, Failure: Error>(_ body: () throws(Failure) -> Value) throws(Failure) -> Value {
    if isCurrent { return try body() }
    var result: Result<Value, Failure>?
    func capture() {
      do throws(Failure) { result = .success(try body()) } catch { result = .failure(error) }
    }
    withoutActuallyEscaping(capture) { body in
      let job = Job(isAwaited: true, body)
      queue.add(job)
      queue.wait(for: job)
    }
    guard let result else { preconditionFailure("device thread: a job was dropped") }
    return try result.get()
  }

  /// Runs something on the thread later.
  /// - Returns: what waits for it.
  @discardableResult
  func post(_ body: @escaping @Sendable () -> Void) -> Posted {
    let job = Job(isAwaited: false, body)
    queue.add(job)
    return Posted(job: job, queue: queue)
  }

  /// Something that the thread was given, and nobody waits for yet.
  struct Posted: @unchecked Sendable {
    // Sendable: the job's state is guarded by the queue's lock.
    fileprivate let job: Job
    fileprivate let queue: Queue

    /// Returns when it is done, whatever the thread was given after it. Not on the thread itself, which would wait for ever.
    func wait() { queue.wait(for: job) }
  }
}
