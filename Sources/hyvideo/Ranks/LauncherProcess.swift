import Foundation
import Generation
import Synchronization

/// A launcher that runs, in a process group of its own: a key press on the terminal reaches this program alone, which asks the
/// first rank to end all between two steps.
final class LauncherProcess {
  private var identifier: pid_t = -1
  /// To the standard input of the first rank.
  private let input: Int32
  /// From the standard error of all.
  private let errors: Int32

  /// Signals that have come: how many, and the last.
  private static let signalCount = Atomic<Int>(0)
  private static let lastSignal = Atomic<Int32>(0)

  init(_ path: String, _ arguments: [String]) throws {
    var (inputs, outputs): ([Int32], [Int32]) = ([-1, -1], [-1, -1])
    guard pipe(&inputs) == 0, pipe(&outputs) == 0 else { throw LauncherFailure(path: path, code: errno) }
    for descriptor in inputs + outputs { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
    (input, errors) = (inputs[1], outputs[0])
    for name in StopSignals.numbers {
      let before = signal(name) { number in
        LauncherProcess.lastSignal.store(number, ordering: .relaxed)
        LauncherProcess.signalCount.add(1, ordering: .relaxed)
      }
      // As under nohup.
      if ![SIGINT, SIGTERM].contains(name), unsafeBitCast(before, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
      {
        signal(name, SIG_IGN)
      }
    }
    let result = Self.spawn(path, arguments, input: inputs[0], errors: outputs[1], &identifier)
    close(inputs[0])
    close(outputs[1])
    if result != 0 { throw LauncherFailure(path: path, code: result) }
  }

  private static func spawn(
    _ path: String, _ arguments: [String], input: Int32, errors: Int32, _ identifier: inout pid_t
  ) -> Int32 {
    var actions = posix_spawn_file_actions_t()
    var attributes = posix_spawnattr_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawnattr_init(&attributes)
    defer {
      posix_spawn_file_actions_destroy(&actions)
      posix_spawnattr_destroy(&attributes)
    }
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO)
    posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO)
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    for name in [SIGPIPE] + StopSignals.numbers { sigaddset(&signals, name) }
    posix_spawnattr_setsigdefault(&attributes, &signals)
    posix_spawnattr_setpgroup(&attributes, 0)
    posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))
    var words: [UnsafeMutablePointer<CChar>?] = ([path] + arguments).map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    return posix_spawn(&identifier, path, &actions, &attributes, &words, environ)
  }

  /// Passes on what is printed and what is asked, until the launcher has ended.
  /// - Returns: the exit status of the run.
  func wait() -> Int32 {
    var filter = LauncherNoise()
    var (seen, attempts) = (0, 0)
    var first: ContinuousClock.Instant?
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    var isOpen = true
    while isOpen {
      var entry = pollfd(fd: errors, events: Int16(POLLIN), revents: 0)
      let ready = poll(&entry, 1, 50)
      if Self.signalCount.load(ordering: .relaxed) > seen {
        seen += 1
        let signal = Self.lastSignal.load(ordering: .relaxed)
        let now = ContinuousClock().now
        // `timeout` sends one to the process and one to its group; the system repeats XCPU.
        if let first, signal == SIGXCPU || first.duration(to: now) < StopSignals.echo { continue }
        first = first ?? now
        attempts += 1
        passOn(signal, attempt: attempts)
      }
      if ready <= 0 { continue }
      let count = read(errors, &buffer, buffer.count)
      if count < 0 && errno == EINTR { continue }
      isOpen = count > 0
      Console.draw(filter.passed(buffer[..<max(count, 0)]))
    }
    var status: Int32 = 0
    while waitpid(identifier, &status, 0) < 0 && errno == EINTR {}
    let signal = status & 0x7F
    var result = signal == 0 ? status >> 8 & 0xFF : 128 + signal
    let stop = Self.lastSignal.load(ordering: .relaxed)
    if stop != 0 && result != 0 {
      result = 128 + stop
    } else if result > 128 && !StopSignals.numbers.contains(result - 128) {
      // A rank was killed or has crashed: to the user, the run has failed.
      result = 1
    }
    Console.draw(filter.end(hasFailed: result != 0, status: result, stop: stop))
    return result
  }

  /// The first signal asks the ranks to end between two steps, the second ends them at once, the third does not wait for it.
  private func passOn(_ signal: Int32, attempt: Int) {
    switch attempt {
    case 1:
      var byte = UInt8(truncatingIfNeeded: signal)
      if write(input, &byte, 1) != 1 { kill(identifier, SIGTERM) }
    case 2:
      Console.error(
        "warning: interrupted again: \(StopSignals.name(of: signal)): the ranks are ended at once; the last step that was whole "
          + "is in NAME.run.safetensors beside the output, where there was one\n")
      kill(identifier, SIGTERM)
    default: kill(identifier, SIGKILL)
    }
  }
}

/// A launcher that could not be started.
struct LauncherFailure: Error, CustomStringConvertible {
  let path: String
  let code: Int32

  var description: String {
    "cannot start ranks: \(path): expected a program that runs, found: \(String(cString: strerror(code))); "
      + "check the MPI installation"
  }
}
