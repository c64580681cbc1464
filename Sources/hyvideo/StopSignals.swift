import Foundation
import StrictJSON
import Synchronization
import TensorCore

/// Signals that end the program. While a run is under way the first ends it between two parts of its work, so that it can be saved;
/// a second one, and any at another time, ends the program at once, with a word and without files that are not whole.
enum StopSignals {
  /// Those that would end the program without a word: of key presses, of terminals that close, and of batch systems.
  private static let names: [(number: Int32, name: String)] = [
    (SIGINT, "SIGINT"), (SIGTERM, "SIGTERM"), (SIGHUP, "SIGHUP"), (SIGQUIT, "SIGQUIT"), (SIGXCPU, "SIGXCPU"),
    (SIGUSR1, "SIGUSR1"), (SIGUSR2, "SIGUSR2"),
  ]
  /// All of them.
  static let numbers = names.map(\.number)

  private static let number = Atomic<Int32>(0)
  private static let isRunning = Atomic<Bool>(false)
  private static let isEnding = Atomic<Bool>(false)
  /// When the first came, in nanoseconds; 0 before.
  private static let firstTime = Atomic<UInt64>(0)
  /// What comes within this time of the first belongs to it: `timeout` sends one to the process and one to its group.
  static let echo = Duration.milliseconds(300)
  private static let echoNanoseconds: UInt64 = 300_000_000

  /// The signal that has come, if any.
  static var received: Int32? {
    let value = number.load(ordering: .relaxed)
    return value == 0 ? nil : value
  }

  static func name(of signal: Int32) -> String { names.first { $0.number == signal }?.name ?? "signal \(signal)" }

  /// Does as if a signal had come, for one that has come to another rank or to the program that started this one.
  static func request(_ signal: Int32) { number.store(signal, ordering: .relaxed) }

  /// Takes the signals, for the whole program.
  static func begin() {
    // Made before a handler may need them.
    _ = (
      names.count, received, isRunning.load(ordering: .relaxed), isEnding.load(ordering: .relaxed),
      firstTime.load(ordering: .relaxed)
    )
    for number in numbers {
      let before = signal(number) { StopSignals.take($0) }
      // Under nohup a closed terminal is no reason to end. Shells start programs in the background with SIGINT ignored, and yet it is
      // sent to end them.
      let isIgnored = unsafeBitCast(before, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
      if isIgnored && ![SIGINT, SIGTERM].contains(number) { signal(number, SIG_IGN) }
    }
  }

  /// From here on a signal ends the run between two parts of its work.
  static func install() {
    number.store(0, ordering: .relaxed)
    firstTime.store(0, ordering: .relaxed)
    isRunning.store(true, ordering: .releasing)
  }

  /// The run is over: nobody asks any more whether a signal has come.
  static func uninstall() { isRunning.store(false, ordering: .releasing) }

  /// The program ends by itself, and what there is to say is being said. A launcher tells all its ranks to end when the first has.
  static func beginEnd() { isEnding.store(true, ordering: .releasing) }

  /// On the thread that takes signals, which does nothing else (`SignalThread`): it may wait for others, and allocate.
  private static func take(_ signal: Int32) {
    let now = nanoseconds()
    let first = firstTime.load(ordering: .relaxed)
    if isEnding.load(ordering: .acquiring) {
      if first != 0 && now - first > echoNanoseconds { _exit(128 + signal) }
      return firstTime.store(now, ordering: .relaxed)
    }
    if isRunning.load(ordering: .acquiring) && signal != SIGQUIT {
      if first == 0 {
        firstTime.store(now, ordering: .relaxed)
        number.store(signal, ordering: .relaxed)
        return
      }
      // The system repeats it every second.
      if signal == SIGXCPU || now - first < echoNanoseconds { return }
    }
    endAtOnce(signal, isAgain: first != 0)
  }

  private static func nanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec) + 1
  }

  private static func endAtOnce(_ received: Int32, isAgain: Bool) -> Never {
    // What belongs to this signal is let pass; one that comes later does not even wait for what follows.
    for number in numbers { signal(number, SIG_IGN) }
    Thread.detachNewThread {
      Thread.sleep(forTimeInterval: Double(echoNanoseconds) / 1e9)
      var unblocked = sigset_t()
      sigemptyset(&unblocked)
      for number in numbers {
        signal(number, SIG_DFL)
        sigaddset(&unblocked, number)
      }
      pthread_sigmask(SIG_UNBLOCK, &unblocked, nil)
      while true { pause() }
    }
    let end = AbruptEnd(signal: received, isAgain: isAgain)
    EmergencyCleanup.runAll()
    OutputClaims.release()
    // Of several ranks the first tells; of those that have not met, their launcher ends all when it is told itself.
    if RankSession.current?.isFirst ?? !RankSession.isLaunched {
      Console.error((Console.hasTerminal ? "\r\u{1B}[K" : "") + "error: \(end)\n")
    }
    _exit(128 + received)
  }
}

/// A run that a signal ended.
struct Interruption: Error, CustomStringConvertible {
  let signal: Int32
  /// What was kept, and how to go on.
  let consequence: String?

  /// What shells give for a program that a signal ended.
  var status: Int32 { 128 + signal }

  var description: String {
    "interrupted: \(StopSignals.name(of: signal)): "
      + (consequence ?? "nothing was computed that could be kept")
  }
}

/// An end in the middle of whatever is done. What is kept is what there is by now.
private struct AbruptEnd: CustomStringConvertible {
  let signal: Int32
  let isAgain: Bool
  private let consequence: String

  init(signal: Int32, isAgain: Bool) {
    (self.signal, self.isAgain) = (signal, isAgain)
    consequence = RunFile.current?.saveAtOnce() ?? "nothing was computed that could be kept"
  }

  var description: String {
    "interrupted\(isAgain ? " again, ended at once" : ""): \(StopSignals.name(of: signal)): \(consequence); "
      + "files that were not whole are removed"
  }
}

/// A device that failed after whole steps, the last of which is saved.
struct DenoisingFailure: Error, CustomStringConvertible {
  let reason: any Error
  /// What was kept, and how to go on.
  let consequence: String

  var description: String { "\(reason); \(consequence)" }
}

/// A decoder or encoder that failed after the latents were saved.
struct DecodingFailure: Error, CustomStringConvertible {
  let reason: any Error
  /// Finishes the video.
  let command: String

  var description: String { "\(reason); the latents are saved, finish the video with: \(command)" }
}

/// Words as a shell takes them back.
enum ShellCommand {
  static func line(_ words: [String]) -> String { words.map(quoted).joined(separator: " ") }

  private static func quoted(_ word: String) -> String {
    let plain =
      !word.isEmpty && word.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-_./=:+,@".contains($0)) }
    if plain { return word }
    guard word.unicodeScalars.allSatisfy(\.isDisplayed) else { return escaped(word) }
    return "'" + word.replacing("'", with: "'\\''") + "'"
  }

  /// `$'a\033b'`: what a terminal would obey or not show, in bytes, as bash, zsh and ksh read them.
  private static func escaped(_ word: String) -> String {
    let characters = word.unicodeScalars.map { scalar -> String in
      switch scalar {
      case "'", "\\": "\\" + String(scalar)
      case "\n": "\\n"
      case _ where scalar.isDisplayed: String(scalar)
      // Three octal digits: what follows cannot be taken for another.
      default:
        String(scalar).utf8.map { byte in
          let digits = String(byte, radix: 8)
          return "\\" + String(repeating: "0", count: 3 - digits.count) + digits
        }.joined()
      }
    }
    return "$'" + characters.joined() + "'"
  }
}
