import TensorCore

// @preconcurrency: the process's environment is a C global, which is only read here.
#if canImport(Glibc)
  @preconcurrency import Glibc
#elseif canImport(Musl)
  @preconcurrency import Musl
#endif

/// A running program with its standard input, output and errors connected. All transfers go through one `poll` loop
/// that also collects what the program prints on its error output, so that neither side can wait for the other for
/// ever. The program never outlives the object and leaves no zombie.
///
/// The streams are sockets, not pipes: writing to a program that has ended then gives an error code instead of the
/// signal SIGPIPE, without touching the signal handling of the whole process.
final class ChildProcess {
  /// How a program ended.
  enum Termination: Equatable {
    case exited(Int32)
    case signaled(Int32)
  }

  /// Which streams the caller uses; the others are `/dev/null`. Errors are always collected.
  enum Connection { case input, output }

  /// How long a program is waited for.
  struct Patience: Sendable {
    /// Without a sign of life: nothing taken, nothing given, no end.
    var limit: Duration
    /// Asked meanwhile: whether nobody wants the result any more.
    var isStopped: @Sendable () -> Bool = { false }
  }

  /// Why a program was ended from here.
  enum Abandonment: Equatable {
    case silent(seconds: Int)
    case stopped
  }

  private static let errorTailLimit = 4096
  /// How often `isStopped` is asked, in milliseconds.
  private static let interval: Int32 = 100

  private var identifier: pid_t = -1
  private var input: Int32 = -1
  private var output: Int32 = -1
  private var errors: Int32 = -1
  private var errorTail: [UInt8] = []
  private var termination: Termination?
  private let patience: Patience
  private var lastSign = ContinuousClock.now
  private var cleanup: EmergencyCleanup?
  /// Nil for a program that ended by itself.
  private(set) var abandonment: Abandonment?

  /// Starts a program.
  /// - Throws: `VideoIOError.cannotStart`.
  init(
    program: String, arguments: [String], connection: Connection, patience: Patience
  ) throws(VideoIOError) {
    self.patience = patience
    var theirs: [Int32] = []
    defer { for descriptor in theirs { close(descriptor) } }
    do throws(SystemFailure) {
      let first = try Descriptors.connected()
      if connection == .input { input = first.ours } else { output = first.ours }
      theirs.append(first.theirs)
      let second = try Descriptors.connected()
      errors = second.ours
      theirs.append(second.theirs)
      identifier = try ChildProcess.spawn(
        program, arguments, input: connection == .input ? first.theirs : nil,
        output: connection == .output ? first.theirs : nil, errors: second.theirs)
    } catch {
      // `deinit` closes our ends: every property has a value already.
      throw .cannotStart(program: program, code: error.code)
    }
    cleanup = EmergencyCleanup { [identifier] in kill(identifier, SIGKILL) }
  }

  deinit {
    if identifier > 0 && termination == nil {
      kill(identifier, SIGKILL)
      reap()
    }
    for descriptor in [input, output, errors] where descriptor >= 0 { close(descriptor) }
  }

  /// Feeds bytes to the program's standard input.
  /// - Returns: false when the program no longer reads; `finish` tells why.
  func write(_ bytes: UnsafeRawBufferPointer) -> Bool {
    var sent = 0
    // Time that others took to make the bytes is not the program's.
    lastSign = .now
    while sent < bytes.count {
      guard input >= 0, let base = bytes.baseAddress else { return false }
      let count = send(input, base + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
      if count >= 0 {
        sent += count
        lastSign = .now
      } else if errno == EAGAIN {
        if !wait(for: input, events: Int16(POLLOUT)) { return false }
      } else if errno != EINTR {
        return false
      }
    }
    return true
  }

  /// Reads from the program's standard output until the buffer is full or the output ends.
  /// - Returns: the number of bytes read, less than the buffer's size only at the end.
  func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
    var filled = 0
    lastSign = .now
    while filled < buffer.count, output >= 0, let base = buffer.baseAddress {
      let count = recv(output, base + filled, buffer.count - filled, 0)
      if count > 0 {
        filled += count
        lastSign = .now
      } else if count == 0 {
        break
      } else if errno == EAGAIN {
        if !wait(for: output, events: Int16(POLLIN)) { break }
      } else if errno != EINTR {
        break
      }
    }
    return filled
  }

  /// Ends the input, waits for the program to end and tells how it did. Unread output is discarded.
  func finish() -> Termination {
    closeInput()
    if output >= 0 {
      withUnsafeTemporaryAllocation(byteCount: 1 << 16, alignment: 8) { scratch in
        while read(into: scratch) > 0 {}
      }
    }
    lastSign = .now
    while termination == nil {
      // The error output ends with the program, unless others have it too; and it may end before.
      let goesOn = errors >= 0 ? wait(for: nil, events: 0) : rest()
      if !goesOn { break }
      var status: Int32 = 0
      if waitpid(identifier, &status, WNOHANG) == identifier { end(status) }
    }
    while errors >= 0, collect() {}
    return termination ?? reap()
  }

  /// Ends the program at once.
  func stop() {
    if termination != nil { return }
    kill(identifier, SIGKILL)
    reap()
  }

  /// Ends the program where it is waited for in vain.
  /// - Returns: whether to go on waiting.
  private func isWorthWaiting() -> Bool {
    if abandonment != nil { return false }
    if patience.isStopped() {
      abandonment = .stopped
    } else if lastSign.duration(to: .now) > patience.limit {
      abandonment = .silent(seconds: Int(patience.limit.components.seconds))
    }
    if abandonment != nil { stop() }
    return abandonment == nil
  }

  /// Lets the program work for a moment.
  private func rest() -> Bool {
    poll(nil, 0, 5)
    return isWorthWaiting()
  }

  /// The end of what the program printed on its error output, lines joined to one.
  var errorText: String {
    String(decoding: errorTail, as: UTF8.self)
      .split(whereSeparator: \.isNewline)
      .map { line in String(line.drop(while: \.isWhitespace)) }
      .filter { !$0.isEmpty }
      .suffix(6)
      .joined(separator: " | ")
  }

  private func closeInput() {
    if input >= 0 { close(input) }
    input = -1
  }

  @discardableResult
  private func reap() -> Termination {
    var status: Int32 = 0
    while waitpid(identifier, &status, 0) < 0 && errno == EINTR {}
    return end(status)
  }

  @discardableResult
  private func end(_ status: Int32) -> Termination {
    let signal = status & 0x7F
    let result: Termination = signal == 0 ? .exited((status >> 8) & 0xFF) : .signaled(signal)
    termination = result
    // The number may be another program's from here on.
    cleanup?.cancel()
    return result
  }

  /// Sleeps until a descriptor is ready (any event, an end included) or something was printed on the error output,
  /// which is collected.
  /// - Returns: false where the program was given up.
  private func wait(for descriptor: Int32?, events: Int16) -> Bool {
    // A negative descriptor is ignored by `poll`.
    var entries = [
      pollfd(fd: errors, events: Int16(POLLIN), revents: 0),
      pollfd(fd: descriptor ?? -1, events: events, revents: 0),
    ]
    let count = poll(&entries, nfds_t(entries.count), ChildProcess.interval)
    if count > 0 && entries[0].revents != 0 { _ = collect() }
    return count > 0 && entries[1].revents != 0 ? true : isWorthWaiting()
  }

  /// Takes what was printed on the error output.
  /// - Returns: whether there was something.
  private func collect() -> Bool {
    withUnsafeTemporaryAllocation(byteCount: ChildProcess.errorTailLimit, alignment: 8) { scratch in
      guard let base = scratch.baseAddress else { return false }
      let count = recv(errors, base, scratch.count, 0)
      if count > 0 {
        lastSign = .now
        errorTail.append(contentsOf: UnsafeRawBufferPointer(rebasing: scratch[..<count]))
        errorTail.removeFirst(max(errorTail.count - ChildProcess.errorTailLimit, 0))
        return true
      }
      if count == 0 || (errno != EAGAIN && errno != EINTR) {
        close(errors)
        errors = -1
      }
      return false
    }
  }
}
