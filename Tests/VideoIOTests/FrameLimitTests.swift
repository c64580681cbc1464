import Testing
import VideoIO

@Suite struct FrameLimitTests {
  @Test(arguments: [(16, 16_384), (16_384, 16), (8192, 8192)])
  func `a frame that libx264 takes is taken`(_ width: Int, _ height: Int) throws {
    try FrameLimits.check(width: width, height: height, for: "a.mp4")
    try FrameLimits.check(width: width, height: height, for: "frames/")
  }

  @Test(arguments: [(16, 16_400), (17_008, 16)])
  func `a longer side is for pictures alone`(_ width: Int, _ height: Int) throws {
    try FrameLimits.check(width: width, height: height, for: "frames/")
    let error = #expect(throws: VideoIOError.self) {
      try FrameLimits.check(width: width, height: height, for: "a.mp4")
    }
    #expect("\(String(describing: error))".contains("--output frames/"))
  }

  @Test(arguments: [(16_384, 16_384), (1 << 30, 16), (16, 1 << 30), (1 << 40, 1 << 40)])
  func `what no program with libavutil takes is refused`(_ width: Int, _ height: Int) throws {
    #expect(throws: VideoIOError.self) { try FrameLimits.check(width: width, height: height, for: "frames/") }
  }
}
