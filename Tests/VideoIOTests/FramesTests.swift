import TensorCore
import Testing
import VideoIO

@Suite struct FramesTests {
  @Test(
    arguments: [
      (0.999, 254), (1, 255), (0.5, 127), (0, 0), (-3, 0), (2, 255), (.infinity, 255), (-.infinity, 0),
      (0.9999, 254), (1 / 255, 1), (0.00392, 0),
    ] as [(Float, UInt8)])
  func `values are clamped and truncated, not rounded`(value: Float, byte: UInt8) throws {
    let frames = Frames(Tensor(repeating: value, shape: [1, 3, 1, 2, 3]))
    #expect(try frames.rgb24(0) == [UInt8](repeating: byte, count: 18))
  }

  @Test func `a frame has interleaved channels, row by row`() throws {
    let values = (0..<3 * 2 * 2 * 3).map { (Float($0) + 0.5) / 255 }
    let frames = Frames(Tensor(values, shape: [1, 3, 2, 2, 3]))
    #expect(frames.count == 2 && frames.width == 3 && frames.height == 2)
    let first = [0, 12, 24, 1, 13, 25, 2, 14, 26, 3, 15, 27, 4, 16, 28, 5, 17, 29].map { UInt8($0) }
    #expect(try frames.rgb24(0) == first)
    #expect(try frames.rgb24(1) == first.map { $0 + 6 })
  }

  @Test func `strides do not matter`() throws {
    let values = (0..<2 * 4 * 5 * 3).map { (Float($0) + 0.5) / 255 }
    let channelsLast = Tensor(values, shape: [1, 2, 4, 5, 3]).permuted([0, 4, 1, 2, 3]).slice(4, 1..<4)
    let dense = Tensor(channelsLast.floats(), shape: channelsLast.shape)
    #expect(!channelsLast.isContiguous)
    for frame in 0..<2 { #expect(try Frames(channelsLast).rgb24(frame) == Frames(dense).rgb24(frame)) }
  }

  @Test func `NaN is an error that names the frame`() {
    var values = [Float](repeating: 0.5, count: 3 * 2 * 4)
    values[4 + 8] = .nan
    let frames = Frames(Tensor(values, shape: [1, 3, 2, 2, 2]))
    #expect(throws: Never.self) { try frames.rgb24(0) }
    #expect(throws: VideoIOError.notANumber(frame: 1)) { try frames.rgb24(1) }
  }
}
