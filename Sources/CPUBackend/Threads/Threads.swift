import TensorCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A lock with a condition to wait for.
final class Signal: @unchecked Sendable {
  // Sendable: the two objects are what threads synchronize with. They live as long as the process.
  private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  init() {
    pthread_mutex_init(lock, nil)
    pthread_cond_init(condition, nil)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(lock)
    condition.deallocate()
    lock.deallocate()
  }

  func locked(_ body: () -> Void) {
    pthread_mutex_lock(lock)
    body()
    pthread_mutex_unlock(lock)
  }

  /// Sleeps until a condition holds, then does something before the lock is released.
  func wait(until holds: () -> Bool, then body: () -> Void = {}) {
    pthread_mutex_lock(lock)
    while !holds() { pthread_cond_wait(condition, lock) }
    body()
    pthread_mutex_unlock(lock)
  }

  func broadcast() { pthread_cond_broadcast(condition) }
}

/// What the backend remembers of each thread.
enum ThreadState {
  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    pthread_key_create(&key, nil)
    return key
  }()

  /// Which of its pool's threads this one is while it runs the body of a parallel loop; nil while it does not.
  static var worker: Int? {
    get { pthread_getspecific(key).map { Int(bitPattern: $0) - 1 } }
    set { pthread_setspecific(key, newValue.flatMap { UnsafeRawPointer(bitPattern: $0 + 1) }) }
  }
}

/// Starts a detached thread, whose own faults are handled on a stack of their own.
/// - Returns: whether the system gave one.
func startThread(_ body: @escaping @Sendable () -> Void) -> Bool {
  final class Start {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
  let start = Unmanaged.passRetained(Start(body))
  var thread = pthread_t()
  let status = pthread_create(
    &thread, nil,
    { argument in
      FaultStack.install()
      if let argument { Unmanaged<Start>.fromOpaque(argument).takeRetainedValue().body() }
      return nil
    }, start.toOpaque())
  if status != 0 {
    start.release()
    return false
  }
  pthread_detach(thread)
  return true
}
