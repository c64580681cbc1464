import Foundation
import Generation
import Synchronization

/// The file of a run. It is written between two steps, and at once, from another thread, when ranks are lost.
final class RunFile: Sendable {
  private struct Contents {
    /// What could be saved.
    var latest: SamplerState?
    /// Steps in the file.
    var savedStep: Int?
  }

  let path: String
  private let identity: RunIdentity
  private let details: [String: String]
  private let ranks: Int
  private let isWritten: Bool
  private let contents = Mutex(Contents())

  private static let latestFile = Mutex<RunFile?>(nil)
  /// That of the video under way.
  static var current: RunFile? {
    get { latestFile.withLock { $0 } }
    set { latestFile.withLock { $0 = newValue } }
  }

  /// - Parameter isWritten: whether this rank writes the file. The others keep account of it.
  init(path: String, identity: RunIdentity, details: [String: String], ranks: Int, isWritten: Bool) {
    (self.path, self.identity, self.details) = (path, identity, details)
    (self.ranks, self.isWritten) = (ranks, isWritten)
  }

  /// Keeps what a step has left.
  func remember(_ state: SamplerState) { contents.withLock { $0.latest = state } }

  /// Writes what is kept, unless the file has it.
  func save() throws {
    try contents.withLock { try write(&$0) }
  }

  private func write(_ contents: inout Contents) throws {
    guard let state = contents.latest, contents.savedStep != state.step else { return }
    if isWritten { try SavedRun(identity: identity, details: details, state: state).write(to: path) }
    contents.savedStep = state.step
  }

  /// Keeps what there is for a process that ends now, and says what that is. Called on another thread than the one that saves.
  func saveAtOnce() -> String? {
    // A file that is just being written has a moment to become whole.
    for _ in 0..<200 {
      let answer = contents.withLockIfAvailable { contents -> String? in
        try? write(&contents)
        return consequence(of: contents)
      }
      if let answer { return answer }
      usleep(5000)
    }
    return "the run was being saved in \(path), which has this step or the one that was saved before"
  }

  /// The video is whole: the file has served.
  func remove() {
    contents.withLock { contents in
      contents = Contents()
      if isWritten { unlink(path) }
    }
  }

  /// What there is to go on with, and how.
  var consequence: String? { contents.withLock { consequence(of: $0) } }

  private func consequence(of contents: Contents) -> String? {
    contents.savedStep.map { step in
      "the run is saved in \(path) after step \(step) of \(details["steps"] ?? "?"); go on with: "
        + ShellCommand.line(
          ["hyvideo", "generate", "--resume", path] + (ranks > 1 ? ["--ranks", "\(ranks)"] : []))
    }
  }
}
