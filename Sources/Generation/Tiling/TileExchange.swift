import Collectives
import HunyuanVideo
import TensorCore

/// Decodes the tiles of a video on all ranks and brings them to the first, in order.
///
/// Each tile goes to the rank with the least to do so far. The first rank decodes its own tiles of a clip before it asks for
/// those of others; the others send theirs while they decode the next.
struct TileExchange {
  private let group: any ProcessGroup
  private let configuration: AutoencoderConfiguration
  private let decode: (Tensor) throws -> Tensor
  private let allocate: @Sendable (Shape) -> Tensor
  /// Latents that each rank has been given so far.
  private var loads: [Int]
  /// Tiles of the current clip that the first rank has not handed over yet.
  private var queue: ArraySlice<Tile> = []
  /// Tiles on their way to the first rank.
  private var sending: [any PendingTransfer] = []
  /// How many may be, at most: their memory is in use until they have arrived.
  private static let sendingLimit = 4

  private enum Tile {
    case latents(Tensor)
    case decoded(Tensor)
    case arriving(any PendingTransfer)
  }

  init(
    _ group: any ProcessGroup, configuration: AutoencoderConfiguration,
    allocate: @escaping @Sendable (Shape) -> Tensor, decode: @escaping (Tensor) throws -> Tensor
  ) {
    (self.group, self.configuration, self.decode) = (group, configuration, decode)
    self.allocate = allocate
    loads = Array(repeating: 0, count: group.size)
  }

  /// Takes the tiles of a clip, latents `[1, C, f, h, w]`. Ranks other than the first decode and send their share.
  mutating func begin(_ tiles: [Tensor]) throws {
    if group.size == 1 {
      queue = tiles.map { .latents($0) }[...]
      return
    }
    let owners = tiles.map { owner(of: $0) }
    if group.rank > 0 {
      for (tile, owner) in zip(tiles, owners) where owner == group.rank {
        if sending.count >= Self.sendingLimit { _ = try sending.removeFirst().wait() }
        sending.append(try group.transfer(sending: [OutgoingMessage(try decode(tile), to: 0)], receiving: []))
      }
      return
    }
    var clip: [Tile] = []
    for (tile, owner) in zip(tiles, owners) {
      if owner == 0 {
        clip.append(.latents(tile))
      } else {
        let message = IncomingMessage(decodedShape(tile.shape), from: owner)
        clip.append(.arriving(try group.transfer(sending: [], receiving: [message])))
      }
    }
    queue = try clip.map { tile in
      if case .latents(let latents) = tile { .decoded(try decode(latents)) } else { tile }
    }[...]
  }

  /// The next tile of the clip; nil on all ranks but the first.
  mutating func next() throws -> PixelClip? {
    switch queue.popFirst() {
    case .latents(let latents): PixelClip(try decode(latents), allocate: allocate)
    case .decoded(let tensor): PixelClip(tensor, allocate: allocate)
    case .arriving(let transfer): PixelClip(try transfer.wait()[0], allocate: allocate)
    case nil: nil
    }
  }

  /// Waits until the first rank has everything.
  mutating func finish() throws {
    for transfer in sending { _ = try transfer.wait() }
    sending = []
  }

  /// The rank with the least to do.
  private mutating func owner(of tile: Tensor) -> Int {
    let owner = loads.indices.min { loads[$0] < loads[$1] } ?? 0
    loads[owner] += tile.count
    return owner
  }

  private func decodedShape(_ latents: Shape) -> Shape {
    [
      1, configuration.outputChannels, (latents[2] - 1) * configuration.timeCompression + 1,
      latents[3] * configuration.spatialCompression, latents[4] * configuration.spatialCompression,
    ]
  }
}
