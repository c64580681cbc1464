import Foundation
import StrictJSON
import Synchronization

/// INT and TERM end a run between two parts of its work, so that it can be saved; a second one ends it at once.
enum StopSignals {
  private static let number = Atomic<Int32>(0)

  /// The signal that has come, if any.
  static var received: Int32? {
    let value = number.load(ordering: .relaxed)
    return value == 0 ? nil : value
  }

  /// Does as if a signal had come, for one that has come to another rank or to the program that started this one.
  static func request(_ signal: Int32) { number.store(signal, ordering: .relaxed) }

  static func install() {
    // Made before a handler may need it.
    number.store(0, ordering: .relaxed)
    for name in [SIGINT, SIGTERM] {
      signal(name) { received in
        StopSignals.number.store(received, ordering: .relaxed)
        signal(received, SIG_DFL)
      }
    }
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
    "interrupted: \(signal == SIGINT ? "SIGINT" : "SIGTERM"): "
      + (consequence ?? "nothing was computed that could be kept")
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
