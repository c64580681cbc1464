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

  private static let errorTailLimit = 4096

  private var identifier: pid_t = -1
  private var input: Int32 = -1
  private var output: Int32 = -1
  private var errors: Int32 = -1
  private var errorTail: [UInt8] = []
  private var termination: Termination?

  /// Starts a program.
  /// - Throws: `VideoIOError.cannotStart`.
  init(program: String, arguments: [String], connection: Connection) throws(VideoIOError) {
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
    while sent < bytes.count {
      guard input >= 0, let base = bytes.baseAddress else { return false }
      let count = send(input, base + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
      if count >= 0 {
        sent += count
      } else if errno == EAGAIN {
        wait(for: input, events: Int16(POLLOUT))
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
    while filled < buffer.count, output >= 0, let base = buffer.baseAddress {
      let count = recv(output, base + filled, buffer.count - filled, 0)
      if count > 0 {
        filled += count
      } else if count == 0 {
        break
      } else if errno == EAGAIN {
        wait(for: output, events: Int16(POLLIN))
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
    while errors >= 0 { wait(for: nil, events: 0) }
    return termination ?? reap()
  }

  /// Ends the program at once.
  func stop() {
    if termination != nil { return }
    kill(identifier, SIGKILL)
    reap()
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
    let signal = status & 0x7F
    let result: Termination = signal == 0 ? .exited((status >> 8) & 0xFF) : .signaled(signal)
    termination = result
    return result
  }

  /// Sleeps until a descriptor is ready (any event, an end included) or something was printed on the error output,
  /// which is collected.
  private func wait(for descriptor: Int32?, events: Int16) {
    // A negative descriptor is ignored by `poll`.
    var entries = [
      pollfd(fd: errors, events: Int16(POLLIN), revents: 0),
      pollfd(fd: descriptor ?? -1, events: events, revents: 0),
    ]
    if poll(&entries, nfds_t(entries.count), -1) <= 0 || entries[0].revents == 0 { return }
    withUnsafeTemporaryAllocation(byteCount: ChildProcess.errorTailLimit, alignment: 8) { scratch in
      guard let base = scratch.baseAddress else { return }
      let count = recv(errors, base, scratch.count, 0)
      if count > 0 {
        errorTail.append(contentsOf: UnsafeRawBufferPointer(rebasing: scratch[..<count]))
        errorTail.removeFirst(max(errorTail.count - ChildProcess.errorTailLimit, 0))
      } else if count == 0 || (errno != EAGAIN && errno != EINTR) {
        close(errors)
        errors = -1
      }
    }
  }
}
