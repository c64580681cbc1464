import Testing
import VideoIO

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@Suite struct VideoFailureTests {
  private let frame = [UInt8](repeating: 7, count: 64 * 64 * 3)

  /// The error of an operation, which must be one line with a remedy.
  private func failure(_ body: () throws -> Void) throws -> VideoIOError {
    do {
      try body()
    } catch let error as VideoIOError {
      #expect(!error.description.contains("\n") && error.description.contains("; "), "\(error)")
      return error
    }
    throw TestFailure(message: "nothing was thrown")
  }

  /// Feeds a writer until it fails; so many frames do not fit the buffers between the processes.
  private func feed(_ writer: VideoWriter, frames: Int = 400) throws {
    for _ in 0..<frames { try writer.append(frame) }
    try writer.finish()
  }

  @Test(arguments: ["/nonexistent/ffmpeg", "no-such-ffmpeg", "/usr"])
  func `a missing ffmpeg is found out at once`(override: String) throws {
    let error = try failure { _ = try FFmpeg.find(override: override) }
    #expect(error == .ffmpegMissing(searched: "HYVIDEO_FFMPEG=\(override)"))
    #expect(error.description.contains("apt-get install ffmpeg"))
  }

  @Test func `a search path without ffmpeg says so`() throws {
    let folder = try TemporaryFolder()
    #expect(throws: VideoIOError.ffmpegMissing(searched: "PATH")) {
      try FFmpeg.find(override: nil, searchPath: folder.path)
    }
    let path = try folder.script("ffmpeg", "exit 0")
    #expect(try FFmpeg.find(override: "", searchPath: "/nonexistent::\(folder.path)").path == path)
  }

  @Test(arguments: ["head -c 36864", "cat"])
  func `a file that is not whole is no video, whatever ffmpeg says`(_ input: String) throws {
    let folder = try TemporaryFolder()
    // The first gives fewer frames on, the second cuts what came of them.
    let cut =
      input == "cat"
      ? "for last; do :; done; [ ! -f \"$last\" ] || { head -c 900 \"$last\" > \"$last.cut\"; mv \"$last.cut\" \"$last\"; }"
      : ""
    let script = try folder.script("hiding", "\(input) | ffmpeg \"$@\"\n\(cut)\nexit 0")
    let path = folder.path + "/a.mp4"
    let writer = try VideoWriter(path: path, width: 64, height: 64, fps: 8, ffmpeg: FFmpeg.find(override: script))
    let error = try failure { try feed(writer, frames: 10) }
    #expect(error.description.contains(input == "cat" ? "not whole" : "3 frames of 10"), "\(error)")
    #expect(access(path, F_OK) != 0, "nothing has the name of a video")
  }

  @Test func `the installed ffmpeg has the encoders that are used`() throws {
    #expect(throws: Never.self) { try FFmpeg.find().requireEncoder() }
    #expect(throws: Never.self) { try FFmpeg.find().requireEncoder("png") }
  }

  @Test func `an ffmpeg without libx264 tells which encoders it has`() throws {
    let folder = try TemporaryFolder()
    let path = try folder.script("ffmpeg", "echo ' V....D libopenh264  OpenH264 (codec h264)'; echo ' V..... png  PNG'")
    let ffmpeg = try FFmpeg.find(override: path)
    let error = try failure { try ffmpeg.requireEncoder() }
    #expect(error == .encoderMissing(encoder: "libx264", ffmpeg: path, alternatives: ["libopenh264"]))
    #expect(error.description.contains("libopenh264") && error.description.contains("PNG"))
  }

  @Test func `an encoder that dies halfway is an error with its last words`() throws {
    let folder = try TemporaryFolder()
    let script = try folder.script("dying", "head -c 100000 >/dev/null; echo 'no more' >&2; echo strength >&2; exit 3")
    let path = "\(folder.path)/clip.mp4"
    let error = try failure {
      try feed(VideoWriter(path: path, width: 64, height: 64, fps: 24, ffmpeg: .find(override: script)))
    }
    guard case .encoderFailed(path, let frames, "exit status 3", "no more | strength") = error else {
      Issue.record("\(error)")
      return
    }
    #expect(frames > 7 && frames < 400)
    #expect(folder.names == ["dying"])
  }

  @Test func `an encoder that is killed is an error`() throws {
    let folder = try TemporaryFolder()
    let script = try folder.script("killed", "kill -9 $$")
    let error = try failure {
      try feed(
        VideoWriter(path: "\(folder.path)/c.mp4", width: 64, height: 64, fps: 24, ffmpeg: .find(override: script)))
    }
    #expect(error.description.contains("signal 9"))
  }

  @Test func `an encoder that prints much while it is fed does not block`() throws {
    let folder = try TemporaryFolder()
    let script = try folder.script("noisy", "head -c 2000000 /dev/zero | tr '\\0' 'x' >&2; cat >/dev/null; exit 1")
    let error = try failure {
      try feed(
        VideoWriter(path: "\(folder.path)/c.mp4", width: 64, height: 64, fps: 24, ffmpeg: .find(override: script)))
    }
    #expect(error.description.utf8.count < 5000)
  }

  @Test func `an encoder that writes nothing is an error`() throws {
    let folder = try TemporaryFolder()
    let script = try folder.script("silent", "cat >/dev/null")
    let ffmpeg = try FFmpeg.find(override: script)
    let error = try failure {
      try feed(VideoWriter(path: "\(folder.path)/c.mp4", width: 64, height: 64, fps: 24, ffmpeg: ffmpeg), frames: 2)
    }
    #expect(error.description.contains("empty"))
    let pngError = try failure {
      let writer = try PNGWriter(folder: "\(folder.path)/frames", width: 64, height: 64, ffmpeg: ffmpeg)
      try writer.append(frame)
      try writer.finish()
    }
    #expect(pngError.description.contains("0 files"))
    #expect(folder.names == ["silent"])
  }

  @Test func `a full disk is told from other failures`() throws {
    let folder = try TemporaryFolder()
    let script = try folder.script("full", "echo 'av_interleaved_write_frame(): No space left on device' >&2; exit 1")
    let path = "\(folder.path)/c.mp4"
    let error = try failure {
      try feed(VideoWriter(path: path, width: 64, height: 64, fps: 24, ffmpeg: .find(override: script)))
    }
    #expect(error == .diskFull(path: path))
  }

  @Test func `a program that cannot be run is an error and leaves no file`() throws {
    let folder = try TemporaryFolder()
    let broken = try folder.script("broken", "", firstLine: "not a program")
    let error = try failure {
      _ = try VideoWriter(
        path: "\(folder.path)/c.mp4", width: 64, height: 64, fps: 24, ffmpeg: .find(override: broken))
    }
    #expect(error == .cannotStart(program: broken, code: ENOEXEC))
    #expect(folder.names == ["broken"])
  }

  @Test func `an output that cannot be is refused before any work`() throws {
    let folder = try TemporaryFolder()
    try folder.write([1], to: "file")
    #expect(
      try failure { try VideoWriter.checkOutput(path: "\(folder.path)/none/c.mp4") }
        == .folderMissing(path: "\(folder.path)/none", code: ENOENT))
    #expect(
      try failure { try VideoWriter.checkOutput(path: "\(folder.path)/file/c.mp4") }
        == .folderMissing(path: "\(folder.path)/file", code: ENOTDIR))
    #expect(
      try failure { try PNGWriter.checkOutput(folder: "\(folder.path)/none/frames/") }
        == .folderMissing(path: "\(folder.path)/none", code: ENOENT))
    for path in ["", "\(folder.path)", "\(folder.path)/", "\(folder.path)/" + String(repeating: "n", count: 256)] {
      guard case .outputUnusable = try failure({ try VideoWriter.checkOutput(path: path) }) else {
        Issue.record("\(path) was refused for another reason")
        continue
      }
    }
    try VideoWriter.checkOutput(path: "\(folder.path)/c.mp4")
    try PNGWriter.checkOutput(folder: "\(folder.path)/frames")
    #expect(folder.names == ["file"])
  }

  @Test(.enabled(if: geteuid() != 0, "the administrator may write everywhere"))
  func `a folder without write permission is refused before any work`() throws {
    let folder = try TemporaryFolder()
    chmod(folder.path, 0o555)
    let expected = VideoIOError.folderUnwritable(path: folder.path, code: EACCES)
    #expect(try failure { try VideoWriter.checkOutput(path: "\(folder.path)/c.mp4") } == expected)
    #expect(try failure { try PNGWriter.checkOutput(folder: "\(folder.path)/frames") } == expected)
  }

  @Test func `frames of another clip are in the way`() throws {
    let folder = try TemporaryFolder()
    try folder.write([1], to: "frame_0009.png")
    let expected = VideoIOError.framesInTheWay(folder: folder.path, example: "frame_0009.png")
    #expect(try failure { try PNGWriter.checkOutput(folder: folder.path) } == expected)
    #expect(
      try failure { _ = try PNGWriter(folder: folder.path, width: 8, height: 8, ffmpeg: .find()) } == expected)
  }

  @Test func `what is no video cannot be read`() throws {
    let folder = try TemporaryFolder()
    try folder.write((0..<5000).map { UInt8(truncatingIfNeeded: $0 &* $0 / 7) }, to: "noise.mp4")
    #expect(
      try failure { _ = try VideoReader(path: "\(folder.path)/none.mp4", ffmpeg: .find()) }
        == .inputUnreadable(path: "\(folder.path)/none.mp4", code: ENOENT))
    for path in ["\(folder.path)/noise.mp4", folder.path] {
      guard case .decoderFailed(path, _) = try failure({ _ = try VideoReader(path: path, ffmpeg: .find()) }) else {
        Issue.record("\(path) failed in another way")
        continue
      }
    }
  }
}
