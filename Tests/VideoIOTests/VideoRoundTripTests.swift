import Testing
import VideoIO

@Suite struct VideoRoundTripTests {
  private func write(
    _ clip: [[UInt8]], to path: String, fps: Int = 24, metadata: [String: String] = [:]
  ) throws {
    let writer = try VideoWriter(
      path: path, width: 96, height: 64, fps: fps, metadata: metadata, ffmpeg: .find())
    for frame in clip { try writer.append(frame) }
    try writer.finish()
  }

  @Test(arguments: [24, 30])
  func `an mp4 returns its frames, size and rate`(fps: Int) throws {
    let folder = try TemporaryFolder()
    let clip = syntheticClip(frames: 17, width: 96, height: 64)
    let path = "\(folder.path)/a clip: 100% \"[x]\".mp4"
    try write(clip, to: path, fps: fps)
    #expect(folder.names.count == 1, "no temporary file stays")
    let reader = try VideoReader(path: path, ffmpeg: .find())
    #expect(reader.width == 96 && reader.height == 64 && reader.frameCount == 17)
    #expect(abs((reader.framesPerSecond ?? 0) - Double(fps)) < 0.01)
    let frames = try reader.frames()
    #expect(frames.count == 17)
    for (frame, original) in zip(frames, clip) { #expect(psnr(frame, original) > 38) }
  }

  @Test func `one frame makes a video`() throws {
    let folder = try TemporaryFolder()
    let path = "\(folder.path)/one.mp4"
    try write(syntheticClip(frames: 1, width: 96, height: 64), to: path)
    #expect(try VideoReader(path: path, ffmpeg: .find()).frames().count == 1)
  }

  @Test func `metadata returns as it was given`() throws {
    let folder = try TemporaryFolder()
    let path = "\(folder.path)/clip.mp4"
    let metadata = [
      "title": "一只猫走在草地上 🐈‍⬛ é",
      "prompt": "\"quotes\", 'single'; a=b #c [STREAM] \\back\\\nsecond line\n\n;fourth\r\n%d $HOME",
      "seed": "42",
      "settings": #"{"steps": 30, "note": "a\nb"}"#,
      "comment": String(repeating: "long prompt ü ", count: 2_000),
    ]
    try write(syntheticClip(frames: 2, width: 96, height: 64), to: path, metadata: metadata)
    let found = try VideoReader(path: path, ffmpeg: .find()).metadata()
    for (key, value) in metadata { #expect(found[key] == value, "\(key)") }
  }

  @Test func `a zero character is replaced and an endless value is cut at a character`() throws {
    #expect(VideoMetadata.argumentValue("a\0b") == "a\u{FFFD}b")
    let cut = VideoMetadata.argumentValue("a" + String(repeating: "猫", count: 50_000))
    #expect(cut.utf8.count <= VideoMetadata.valueLimit && cut.utf8.count > VideoMetadata.valueLimit - 4)
    #expect(cut.hasPrefix("a猫") && cut.hasSuffix("猫…"))
    let folder = try TemporaryFolder()
    let path = "\(folder.path)/clip.mp4"
    let prompt = String(repeating: "p", count: 300_000)
    try write(
      syntheticClip(frames: 1, width: 96, height: 64), to: path, metadata: ["prompt": prompt, "settings": prompt])
    #expect(try VideoReader(path: path, ffmpeg: .find()).metadata()["prompt"]?.count == 99_998)
  }

  @Test func `an existing file is replaced only when the new one is complete`() throws {
    let folder = try TemporaryFolder()
    try folder.write([1, 2, 3], to: "clip.mp4")
    let path = "\(folder.path)/clip.mp4"
    do {
      let writer = try VideoWriter(path: path, width: 96, height: 64, fps: 24, ffmpeg: .find())
      try writer.append([UInt8](repeating: 9, count: 96 * 64 * 3))
    }
    #expect(folder.names == ["clip.mp4"])
    #expect(throws: VideoIOError.self) { try VideoReader(path: path, ffmpeg: .find()) }
    try write(syntheticClip(frames: 3, width: 96, height: 64), to: path)
    #expect(try VideoReader(path: path, ffmpeg: .find()).frameCount == 3)
  }

  @Test func `PNG frames return exactly, also with special characters in the folder's name`() throws {
    let folder = try TemporaryFolder()
    let target = "\(folder.path)/it's 50%d [*?{}] a:b"
    let clip = syntheticClip(frames: 12, width: 30, height: 17)
    let writer = try PNGWriter(folder: target, width: 30, height: 17, ffmpeg: .find())
    for frame in clip { try writer.append(frame) }
    try writer.finish()
    let names = TemporaryFolder.names(in: target)
    #expect(names.count == 12 && names.first == "frame_0001.png" && names.last == "frame_0012.png")
    let reader = try VideoReader(path: target, ffmpeg: .find())
    #expect(reader.width == 30 && reader.height == 17 && reader.frameCount == 12 && reader.framesPerSecond == nil)
    #expect(try reader.frames() == clip)
  }

  @Test func `what a reader throws ends the reading`() throws {
    let folder = try TemporaryFolder()
    let path = "\(folder.path)/clip.mp4"
    try write(syntheticClip(frames: 9, width: 96, height: 64), to: path)
    var seen = 0
    #expect(throws: TestFailure.self) {
      try VideoReader(path: path, ffmpeg: .find()).forEachFrame { index, _ in
        seen = index + 1
        if index == 1 { throw TestFailure(message: "enough") }
      }
    }
    #expect(seen == 2)
  }
}
