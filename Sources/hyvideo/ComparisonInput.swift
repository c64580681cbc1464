import Checkpoints
import Foundation
import Generation
import TensorCore
import VideoIO

/// Something that can be compared: the frames of a file or folder, or tensors.
enum ComparisonInput {
  case video(VideoReader)
  case frames(Tensor, path: String)
  case latents([String: Tensor], path: String)

  init(_ path: String) throws {
    guard try path.lowercased().hasSuffix(".safetensors") || Self.holdsTensors(path) else {
      self = .video(try VideoReader(path: path, ffmpeg: FFmpeg.found()))
      return
    }
    let file = try WrittenFile.tensors.reading(path) { try Checkpoint(path: $0) }
    if let video = file["video"]?.tensor {
      guard video.shape.rank == 5, video.shape[0] == 1, video.shape[1] == 3, video.dtype.isFloatingPoint,
        video.count > 0
      else {
        throw RequestError(
          "no video", at: path, expected: "video [1, 3, F, H, W] of a floating-point type", found: "\(video)",
          remedy: "use hyvideo generate --save-frames")
      }
      self = .frames(video, path: path)
      return
    }
    var latents: [String: Tensor] = [:]
    for tensor in file.tensors where tensor.name == "latents" || tensor.name.hasPrefix("step_") {
      if tensor.dtype.isFloatingPoint { latents[tensor.name] = tensor.tensor }
    }
    if latents.isEmpty {
      throw RequestError(
        "nothing to compare", at: path, expected: "a tensor video, latents or step_000", found: "none of them",
        remedy: "use hyvideo generate --save-frames or --save-latents")
    }
    self = .latents(latents, path: path)
  }

  /// Whether a file is one of tensors, by its contents.
  private static func holdsTensors(_ path: String) throws -> Bool {
    guard FileSystem.isFile(path) else { return false }
    do { return try CheckpointFormat(of: path) != nil } catch CheckpointError.unsupportedFormat(
      _, let found, let remedy)
    {
      throw RequestError(
        "another file", at: path, expected: "a video or a file of tensors", found: found, remedy: remedy)
    }
  }

  private var path: String {
    switch self {
    case .video(let reader): reader.path
    case .frames(_, let path), .latents(_, let path): path
    }
  }

  static func compare(_ x: ComparisonInput, _ y: ComparisonInput) throws -> ComparisonResult {
    switch (x, y) {
    case (.latents(let a, _), .latents(let b, let path)): return try compareLatents(a, b, path: path)
    case (.latents, _), (_, .latents):
      throw RequestError(
        "cannot compare", at: "\(x.path), \(y.path)", expected: "two videos or two files of latents",
        found: "one of each", remedy: "decode the latents first")
    default: return try compareFrames(x, y)
    }
  }

  private static func compareLatents(
    _ x: [String: Tensor], _ y: [String: Tensor], path: String
  ) throws -> ComparisonResult {
    let names = Set(x.keys).intersection(y.keys).sorted()
    for name in names where x[name]?.shape != y[name]?.shape {
      throw RequestError(
        "latents do not match", at: "\(path): \(name)", expected: "\(x[name]?.shape ?? [])",
        found: "\(y[name]?.shape ?? [])", remedy: "compare runs of one size and length")
    }
    let differences = names.map { name in
      (name: name, value: x[name].flatMap { a in y[name].map { relativeDifference(a, $0) } } ?? 0)
    }
    guard let last = differences.first(where: { $0.name == "latents" }) ?? differences.last else {
      throw RequestError(
        "latents do not match", at: path, expected: "a step that both files hold", found: "none",
        remedy: "compare runs with the same number of steps")
    }
    let steps = differences.filter { $0.name != "latents" }.map(\.value)
    return ComparisonResult(relativeLatentDifference: last.value, perStep: steps.isEmpty ? nil : steps)
  }

  private static func compareFrames(_ x: ComparisonInput, _ y: ComparisonInput) throws -> ComparisonResult {
    let (a, b) = (x.size, y.size)
    guard a == b else {
      throw RequestError(
        "videos do not match", at: y.path, expected: VideoSize.text(frames: a[0], height: a[1], width: a[2]),
        found: VideoSize.text(frames: b[0], height: b[1], width: b[2]), remedy: "compare videos of one size and length")
    }
    var comparison = try VideoComparison(width: a[2], height: a[1])
    // One file is held as bytes, the other streams past it.
    var held: [[UInt8]] = []
    if case .video(let reader) = x { held = try reader.frames() }
    var count = 0
    try y.forEachFrame { index, planes in
      count += 1
      if held.isEmpty {
        comparison.add(x.planes(index), planes)
      } else if index < held.count {
        comparison.add(Self.planes(held[index]), planes)
      }
    }
    guard count == a[0], comparison.frames.count == count else {
      throw RequestError(
        "video incomplete", at: y.path, expected: a[0].counted("frame"), found: "\(count)", remedy: "check the file")
    }
    return ComparisonResult(
      psnrDB: comparison.psnrDB, ssim: comparison.ssim, frames: count, perFrame: comparison.frames)
  }

  /// Frames, height, width.
  private var size: [Int] {
    switch self {
    case .video(let reader): [reader.frameCount, reader.height, reader.width]
    case .frames(let video, _): Array(video.shape.dimensions[2...])
    case .latents: []
    }
  }

  /// Gives each frame as planes in 0…1.
  private func forEachFrame(_ body: (Int, [[Float]]) throws -> Void) throws {
    switch self {
    case .video(let reader): try reader.forEachFrame { try body($0, Self.planes($1)) }
    case .frames(let video, _): for index in 0..<video.shape[2] { try body(index, planes(index)) }
    case .latents: break
    }
  }

  /// One frame of a tensor as planes.
  private func planes(_ index: Int) -> [[Float]] {
    guard case .frames(let video, _) = self else { return [] }
    return (0..<3).map { video.select(0, 0).select(0, $0).select(0, index).floats() }
  }

  private static func planes(_ frame: [UInt8]) -> [[Float]] {
    (0..<3).map { channel in stride(from: channel, to: frame.count, by: 3).map { Float(frame[$0]) / 255 } }
  }
}
