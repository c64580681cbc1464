import ArgumentParser
import Checkpoints
import Foundation
import Generation
import TensorOps
import Tokenizers

/// An error as the user sees it: one line, and the exit status that goes with it.
struct Failure: Codable, Equatable {
  let message: String
  let status: Int32

  init(message: String, status: Int32) {
    self.message = message.split(whereSeparator: \.isNewline).joined(separator: " ")
    self.status = status
  }

  init(_ error: any Error) {
    switch error {
    case let agreed as AgreedFailure: self = agreed.failure
    case let refused as RefusedBeforeWork: self.init(message: "\(refused.reason)", status: 64)
    case is RequestError, is TokenizerError: self.init(message: "\(error)", status: 64)
    case is CheckpointError: self.init(message: "\(error)", status: 1)
    case let stopped as Interruption: self.init(message: "\(stopped)", status: stopped.status)
    case BackendError.stopped:
      // Nothing but a signal stops a pass.
      self.init(Interruption(signal: StopSignals.received ?? SIGTERM, consequence: nil))
    case let silent as ExitCode: self.init(message: "", status: silent.rawValue)
    default:
      // The parser's own errors carry a usage text; other errors describe themselves.
      if Hyvideo.exitCode(for: error) == .validationFailure {
        self.init(message: "bad command line: \(Hyvideo.message(for: error).bounded); see --help", status: 64)
      } else {
        self.init(message: "\(error)", status: 1)
      }
    }
  }

  /// The same, with the rank that it happened on.
  func of(rank: Int) -> Failure { Failure(message: "rank \(rank): \(message)", status: status) }
}
