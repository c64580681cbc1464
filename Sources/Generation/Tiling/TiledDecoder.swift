public import Collectives
public import HunyuanVideo
public import Layers
public import TensorCore
import TensorOps

/// Decodes latents to frames, in tiles where they are too large to be decoded whole.
///
/// Tiles overlap and fade into each other in place: a tile first into the one above, then into the one to the left, then into
/// the clip before it, each as already blended. Frames are handed over as soon as no later tile changes them.
///
/// With many ranks the tiles are dealt out by size; the first rank gets all of them and blends them in the same order, so the
/// result is the same to the last bit.
public struct TiledDecoder: Sendable {
  private let decoder: VideoDecoder
  private let context: ForwardContext
  private let plan: TilePlan?
  private let group: any ProcessGroup
  private let allocate: @Sendable (Shape) -> Tensor

  /// - Parameters:
  ///   - tiling: false decodes everything at once, in as much memory as that takes.
  ///   - group: the ranks that decode tiles.
  ///   - allocate: makes the memory that tiles are blended in.
  public init(
    _ decoder: VideoDecoder, tiling: Bool, in context: ForwardContext, group: any ProcessGroup = SingleProcessGroup(),
    allocate: @escaping @Sendable (Shape) -> Tensor = { Tensor(uninitialized: $0) }
  ) {
    self.allocate = allocate
    self.decoder = decoder
    self.context = context
    self.group = group
    plan = tiling ? TilePlan(decoder.configuration) : nil
  }

  /// How many tiles latents `[1, C, F, H, W]` are decoded in.
  public func tileCount(for latents: Shape) -> Int {
    plan?.tileCount(frames: latents[2], height: latents[3], width: latents[4]) ?? 1
  }

  /// Decodes a sampler's latents. Only the first rank emits.
  /// - Parameters:
  ///   - latents: `[1, C, F, H, W]` in host memory, not yet divided by the scaling factor.
  ///   - tileDone: told after each tile.
  ///   - decoding: decodes a tile, by what it is given or otherwise.
  ///   - emit: given the video in pieces `[1, 3, f, H, W]`, in order, raw network output around -1…1, contiguous float32.
  public func decode(
    _ latents: Tensor, tileDone: () -> Void = {},
    decoding: @escaping (Tensor, (Tensor) throws -> Tensor) throws -> Tensor = { try $1($0) },
    emit: (Tensor) throws -> Void
  ) throws {
    let scale = 1 / decoder.configuration.scalingFactor
    let uploaded = try context.backend.upload(latents)
    let scaled = try context.backend.combination(scale, uploaded, 0, uploaded)
    let network = decodeTile
    var tiles = TileExchange(
      group, configuration: decoder.configuration, allocate: allocate, decode: { try decoding($0, network) })
    guard let plan, plan.tilesTime(frames: latents.shape[2]) else {
      if let clip = try decodeFrames(scaled, &tiles, tileDone: tileDone) { try emit(clip.tensor) }
      return try tiles.finish()
    }
    let time = plan.time
    var previous: PixelClip?
    for span in time.spans(count: latents.shape[2]) {
      let part = scaled.slice(2, span.start..<span.start + span.count)
      guard var clip = try decodeFrames(part, &tiles, tileDone: tileDone) else { continue }
      if let previous {
        // The first frame only gave the tile a past.
        clip = clip.slice(.time, 1..<clip.frames)
        clip.blend(from: previous, along: .time, extent: time.blend)
      }
      let kept = min(previous == nil ? time.kept + 1 : time.kept, clip.frames)
      if kept > 0 { try emit(clip.slice(.time, 0..<kept).tensor) }
      // Only the end is needed again.
      previous = clip.slice(.time, max(clip.frames - time.blend, 0)..<clip.frames)
    }
    try tiles.finish()
  }

  /// Decodes all frames of latents that are short enough, in spatial tiles where frames are large. Nil on all ranks but the
  /// first.
  private func decodeFrames(
    _ latents: Tensor, _ tiles: inout TileExchange, tileDone: () -> Void
  ) throws -> PixelClip? {
    let (height, width) = (latents.shape[3], latents.shape[4])
    guard let plan, plan.tilesSpace(height: height, width: width) else {
      try tiles.begin([latents])
      let clip = try tiles.next()
      tileDone()
      return clip
    }
    let space = plan.space
    try tiles.begin(
      space.spans(count: height).flatMap { y in
        space.spans(count: width).map { x in
          latents.slice(3, y.start..<y.start + y.count).slice(4, x.start..<x.start + x.count)
        }
      })
    if group.rank > 0 {
      for _ in 0..<space.tileCount(of: height) * space.tileCount(of: width) { tileDone() }
      return nil
    }
    let factor = decoder.configuration.spatialCompression
    var result: PixelClip?
    // The lower ends of the tiles above, one for each column.
    var above: [PixelClip] = []
    for (row, y) in space.spans(count: height).enumerated() {
      var left: PixelClip?
      var ends: [PixelClip] = []
      for (column, x) in space.spans(count: width).enumerated() {
        guard let tile = try tiles.next() else { preconditionFailure("tiled decoding: the first rank has no tile") }
        if row > 0 { tile.blend(from: above[column], along: .vertical, extent: space.blend) }
        if let left { tile.blend(from: left, along: .horizontal, extent: space.blend) }
        ends.append(tile.slice(.vertical, max(tile.height - space.blend, 0)..<tile.height))
        left = tile.slice(.horizontal, max(tile.width - space.blend, 0)..<tile.width)
        let whole = result ?? tile.empty(frames: tile.frames, height: height * factor, width: width * factor)
        whole.paste(
          tile, frames: 0..<tile.frames, rows: 0..<min(space.kept, tile.height),
          columns: 0..<min(space.kept, tile.width), atFrame: 0, row: y.start * factor, column: x.start * factor)
        result = whole
        tileDone()
      }
      above = ends
    }
    guard let result else { preconditionFailure("tiled decoding: latents \(latents) have no tiles") }
    return result
  }

  private func decodeTile(_ latents: Tensor) throws -> Tensor {
    let backend = context.backend
    return try backend.download(decoder(backend.contiguous(latents), in: context))
  }
}
