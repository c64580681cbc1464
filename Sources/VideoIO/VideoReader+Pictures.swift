extension VideoReader {
  /// Some frames as PNG files, made smaller where they are wider than `width` pixels.
  /// - Parameter frames: positions from 0, in order.
  /// - Throws: `VideoIOError.decoderFailed` or `cannotStart`.
  public func pictures(of frames: [Int], width: Int) throws(VideoIOError) -> [[UInt8]] {
    var pictures: [[UInt8]] = []
    for frame in frames {
      precondition(frame >= 0 && frame < frameCount, "pictures: frame \(frame) of \(frameCount)")
      // Even sizes are for encoders of video alone.
      let answer = try ffmpeg.query(
        input + [
          "-map", "0:v:0", "-vf", "select=eq(n\\,\(frame)),scale=w='min(iw,\(width))':h=-1:flags=area", "-frames:v",
          "1",
          "-c:v", "png", "-f", "image2pipe", "pipe:1",
        ])
      if answer.termination != .exited(0) || answer.output.isEmpty {
        throw .decoderFailed(path: path, detail: answer.errors.isEmpty ? "no frame \(frame + 1)" : answer.errors)
      }
      pictures.append(answer.output)
    }
    return pictures
  }
}
