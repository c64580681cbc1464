public import HunyuanVideo

/// One tile along one axis: latents `start..<start + count`.
public struct TileSpan: Sendable, Hashable {
  public let start: Int
  public let count: Int
}

/// How latents are cut into overlapping tiles along one axis.
///
/// Reference: `hyvideo/vae/autoencoder_kl_causal_3d.py`, `spatial_tiled_decode` and `temporal_tiled_decode`.
public struct TileAxis: Sendable, Hashable {
  /// The largest number of latents that is decoded without tiles.
  public let limit: Int
  /// Latents in a tile: `limit`, and one more in time, whose frame is dropped again.
  public let extent: Int
  /// Latents between the starts of neighbours.
  public let stride: Int
  /// Pixels or frames over which a tile fades into its neighbour.
  public let blend: Int
  /// Pixels or frames that are kept of each tile.
  public let kept: Int

  init(latentLimit: Int, extra: Int, overlap: Double, outputTile: Int) {
    limit = latentLimit
    extent = latentLimit + extra
    stride = Int(Double(latentLimit) * (1 - overlap))
    blend = Int(Double(outputTile) * overlap)
    kept = outputTile - blend
  }

  /// How many tiles an axis of `count` latents has, without making them.
  public func tileCount(of count: Int) -> Int { count > 0 ? (count - 1) / stride + 1 : 0 }

  /// The tiles of an axis of `count` latents: one every `stride`, the last ones clipped.
  public func spans(count: Int) -> [TileSpan] {
    Swift.stride(from: 0, to: count, by: stride).map { TileSpan(start: $0, count: min(extent, count - $0)) }
  }
}

/// The tiling of an autoencoder: which latents are decoded together.
public struct TilePlan: Sendable, Hashable {
  public let space: TileAxis
  public let time: TileAxis

  public init(_ configuration: AutoencoderConfiguration) {
    let c = configuration
    space = TileAxis(
      latentLimit: c.tileSize / c.spatialCompression, extra: 0, overlap: c.tileOverlap, outputTile: c.tileSize)
    time = TileAxis(
      latentLimit: c.tileFrames / c.timeCompression, extra: 1, overlap: c.tileOverlap, outputTile: c.tileFrames)
  }

  /// Whether latents of a frame are decoded in spatial tiles: both axes are cut as soon as one is too large.
  public func tilesSpace(height: Int, width: Int) -> Bool { height > space.limit || width > space.limit }

  /// Whether a clip is decoded in temporal tiles.
  public func tilesTime(frames: Int) -> Bool { frames > time.limit }

  /// How many tiles latents of this size are decoded in.
  public func tileCount(frames: Int, height: Int, width: Int) -> Int {
    let temporal = tilesTime(frames: frames) ? time.tileCount(of: frames) : 1
    guard tilesSpace(height: height, width: width) else { return temporal }
    return temporal * space.tileCount(of: height) * space.tileCount(of: width)
  }
}
