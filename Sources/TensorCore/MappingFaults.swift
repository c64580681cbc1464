import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Survives the loss of mapped pages.
///
/// Where a mapped file is cut short, or its disk fails, whoever touches a lost page gets SIGBUS. The handler puts zeros there and
/// marks the mapping; the run goes on to the end of its block, where `MappedFile.requireIntact` ends it in order
/// (`docs/decisions/0019`). The handler calls the system alone, and reads a table without locks.
enum MappingFaults {
  private struct Slot: ~Copyable {
    /// Of the mapping, 0 where the slot is free.
    let start = Atomic<UInt>(0)
    let end = Atomic<UInt>(0)
    let isLost = Atomic<Bool>(false)
  }

  /// More files than any checkpoint has; those beyond are not guarded.
  private static let capacity = 4096
  private nonisolated(unsafe) static let slots: UnsafeMutablePointer<Slot> = {
    let slots = UnsafeMutablePointer<Slot>.allocate(capacity: capacity)
    for index in 0..<capacity { (slots + index).initialize(to: Slot()) }
    return slots
  }()
  private nonisolated(unsafe) static let previous: UnsafeMutablePointer<sigaction> = {
    let previous = UnsafeMutablePointer<sigaction>.allocate(capacity: 1)
    previous.initialize(to: sigaction())
    return previous
  }()
  private static let pageSize = UInt(sysconf(Int32(_SC_PAGESIZE)))
  /// Any mapping has lost pages.
  private static let hasLoss = Atomic<Bool>(false)

  static func install() {
    // Made before a handler may need them.
    _ = (slots, previous, pageSize, hasLoss.load(ordering: .relaxed))
    var action = sigaction()
    sigemptyset(&action.sa_mask)
    action.sa_flags = SA_SIGINFO | SA_ONSTACK
    action.__sigaction_handler.sa_sigaction = { _, information, _ in
      guard let information else { return }
      MappingFaults.handle(UInt(bitPattern: information.pointee._sifields._sigfault.si_addr))
    }
    sigaction(SIGBUS, &action, previous)
  }

  private static func handle(_ address: UInt) {
    let code = errno
    defer { errno = code }
    for index in 0..<capacity {
      let start = slots[index].start.load(ordering: .acquiring)
      let end = slots[index].end.load(ordering: .acquiring)
      guard start > 0, start <= address, address < end else { continue }
      let page = address / pageSize * pageSize
      let zeros = mmap(
        UnsafeMutableRawPointer(bitPattern: page), Int(end - page), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
        -1, 0)
      if zeros == MAP_FAILED { break }
      slots[index].isLost.store(true, ordering: .relaxed)
      hasLoss.store(true, ordering: .releasing)
      return
    }
    // Not ours: it comes again, and finds what was there before.
    sigaction(SIGBUS, previous, nil)
  }

  /// Guards a mapping, from its first byte to the end of its last page.
  /// - Returns: its number; nil where there is no room.
  static func add(_ address: UnsafeMutableRawPointer, byteCount: Int) -> Int? {
    let start = UInt(bitPattern: address)
    let end = (start + UInt(byteCount) + pageSize - 1) / pageSize * pageSize
    for index in 0..<capacity where slots[index].start.load(ordering: .relaxed) == 0 {
      // The end first: a slot with a start is whole. An end of 0 holds nothing.
      if !slots[index].end.compareExchange(expected: 0, desired: 1, ordering: .acquiringAndReleasing).exchanged {
        continue
      }
      slots[index].isLost.store(false, ordering: .relaxed)
      slots[index].end.store(end, ordering: .relaxed)
      slots[index].start.store(start, ordering: .releasing)
      return index
    }
    return nil
  }

  /// Before the mapping goes.
  static func remove(_ index: Int) {
    slots[index].start.store(0, ordering: .releasing)
    slots[index].end.store(0, ordering: .releasing)
  }

  /// Whether pages of a mapping were lost.
  static func isLost(_ index: Int) -> Bool {
    hasLoss.load(ordering: .acquiring) && slots[index].isLost.load(ordering: .relaxed)
  }
}

/// A stack for the handlers of a thread's own faults.
///
/// The matrix products of oneDNN keep data where the stack pointer points (decision 0017): a handler's frame must not go there.
public enum FaultStack {
  /// Far above what the system's frame takes with the widest registers, some 11 KiB.
  private static let byteCount = 1 << 16

  /// Gives the calling thread such a stack, where it has none. It stays for good: for threads that do.
  public static func install() {
    var current = stack_t()
    guard sigaltstack(nil, &current) == 0, current.ss_flags & Int32(SS_DISABLE) != 0 else { return }
    let memory = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    if memory == MAP_FAILED { return }
    var stack = stack_t()
    stack.ss_sp = memory
    stack.ss_size = byteCount
    sigaltstack(&stack, nil)
  }
}
