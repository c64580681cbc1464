/// What writers of files and of folders share: an encoder that writes under a temporary name, until all is whole and gets
/// its place. Dropped before that, or after an error, it leaves nothing behind.
final class StagedEncoding {
  let encoder: FrameEncoder
  let temporary: TemporaryOutput
  /// Undoes what was made beside the temporary place.
  private let undo: () -> Void
  private var isOpen = true

  /// Starts an encoder.
  /// - Parameters:
  ///   - start: gives the encoder that writes to a path. Where it fails, the temporary place goes too.
  ///   - undo: called where the files do not get their place.
  init(
    in temporary: TemporaryOutput, undo: @escaping () -> Void = {},
    start: (String) throws(VideoIOError) -> FrameEncoder
  ) throws(VideoIOError) {
    do throws(VideoIOError) { encoder = try start(temporary.path) } catch {
      temporary.remove()
      undo()
      throw error
    }
    (self.temporary, self.undo) = (temporary, undo)
  }

  deinit { if isOpen { discard() } }

  /// Adds a frame.
  func append(_ frame: [UInt8]) throws(VideoIOError) {
    precondition(isOpen, "encoding: a frame after the end")
    do throws(VideoIOError) { try encoder.append(frame) } catch {
      discard()
      throw error
    }
  }

  /// Completes the files.
  /// - Parameter place: checks them and gives them their names.
  func finish(_ place: () throws(VideoIOError) -> Void) throws(VideoIOError) {
    precondition(isOpen, "encoding: finished twice")
    do throws(VideoIOError) {
      try encoder.finish()
      try place()
      isOpen = false
    } catch {
      discard()
      throw error
    }
  }

  private func discard() {
    isOpen = false
    encoder.cancel()
    temporary.remove()
    undo()
  }
}
