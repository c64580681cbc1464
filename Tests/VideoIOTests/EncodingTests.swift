import Foundation
import Testing
import VideoIO

/// What the machine has does not change a file.
@Suite struct EncodingTests {
  /// Motion and noise, large enough for libx264 to decide otherwise with other threads or instructions.
  private static let clip: [[UInt8]] = {
    var state: UInt32 = 1
    let size = EncodingTests.size
    return (0..<17).map { frame in
      (0..<size * size * 3).map { index in
        state = state &* 1_664_525 &+ 1_013_904_223
        let (x, y) = (index / 3 % size, index / 3 / size)
        let square = (frame * 9..<frame * 9 + 60).contains(x) && (80..<140).contains(y) ? 120 : 0
        return UInt8(40 + square + (x + y) * 60 / (2 * size) + Int(state >> 28))
      }
    }
  }()
  private static let size = 256

  private func file(_ folder: TemporaryFolder, _ name: String, ffmpeg: FFmpeg) throws -> [UInt8] {
    let path = "\(folder.path)/\(name).mp4"
    let writer = try VideoWriter(
      path: path, width: Self.size, height: Self.size, fps: 24, metadata: ["title": "clip"], ffmpeg: ffmpeg)
    for frame in Self.clip { try writer.append(frame) }
    try writer.finish()
    return try [UInt8](Data(contentsOf: URL(fileURLWithPath: path)))
  }

  @Test(arguments: [
    // One core; many; those of a machine that is told so by a flag.
    #"exec taskset -c "$(taskset -cp $$ | sed 's/.*: //; s/[-,].*//')" ffmpeg "$@""#,
    #"exec ffmpeg -cpucount 1 "$@""#,
    #"exec ffmpeg -cpucount 64 "$@""#,
    // Other instructions of the processor: of ffmpeg's own functions, and of libx264's.
    #"exec ffmpeg -cpuflags 0 "$@""#,
    #"for word; do shift; case $word in *cpu-independent=1) word=$word:asm=0;; esac; set -- "$@" "$word"; done; exec ffmpeg "$@""#,
  ])
  func `cores and instructions change no bit of a file`(_ script: String) throws {
    let folder = try TemporaryFolder()
    let expected = try file(folder, "usual", ffmpeg: .find())
    let found = try file(folder, "other", ffmpeg: .find(override: folder.script("ffmpeg", script)))
    #expect(expected.count > 10_000)
    #expect(found == expected)
  }

  @Test func `a file says how it was encoded, and by which ffmpeg`() throws {
    let folder = try TemporaryFolder()
    let ffmpeg = try FFmpeg.find()
    _ = try file(folder, "clip", ffmpeg: ffmpeg)
    let metadata = try VideoReader(path: "\(folder.path)/clip.mp4", ffmpeg: ffmpeg).metadata()
    let encoding = VideoWriter.encoding(by: ffmpeg)
    #expect(metadata[VideoWriter.encodingKey] == encoding && metadata["title"] == "clip", "\(metadata)")
    let version = try #require(try ffmpeg.version())
    #expect(encoding.hasPrefix("libx264 ") && encoding.hasSuffix(" ffmpeg \(version)"))
    let silent = try folder.script("silent", "exit 0")
    #expect(VideoWriter.encoding(by: try .find(override: silent)).hasSuffix("ffmpeg of unknown version"))
  }
}
