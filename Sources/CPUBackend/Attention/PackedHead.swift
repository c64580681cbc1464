import Synchronization
import TensorCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Keys and values of one head as panels of sixteen columns, made once for all queries: keys `[tokens / 16][D, 16]`, values
/// `[D / 16][tile, 16]` for each tile of keys, tensor by tensor of the list. What is beyond the last key or channel is zero.
struct PackedHead {
  let keyValues: [(keys: HeadRows, values: HeadRows)]
  let keyTile: Int
  let memory: UnsafeMutablePointer<Float>

  /// How many floats the heads of a list need.
  static func count(tokens: [Int], size: Int) -> Int {
    tokens.reduce(0) { $0 + partCount(tokens: $1, size: size) }
  }

  private static func partCount(tokens: Int, size: Int) -> Int {
    RegisterTile.paddedColumns(tokens) * size + tokens * RegisterTile.paddedColumns(size)
  }

  private func start(of part: Int) -> UnsafeMutablePointer<Float> {
    keyValues[..<part].reduce(memory) { $0 + PackedHead.partCount(tokens: $1.keys.tokens, size: $1.keys.size) }
  }

  /// The panel of sixteen keys that begins with a token.
  func keys(_ part: Int, from token: Int) -> UnsafeMutablePointer<Float> {
    start(of: part) + token * keyValues[part].keys.size
  }

  /// The first panel of a tile's values, and the distance of panels.
  /// - Parameter tile: its first token.
  func values(_ part: Int, tile: Int) -> (first: UnsafeMutablePointer<Float>, stride: Int) {
    let (tokens, size) = (keyValues[part].keys.tokens, keyValues[part].keys.size)
    let first =
      start(of: part) + RegisterTile.paddedColumns(tokens) * size + tile * RegisterTile.paddedColumns(size)
    return (first, min(keyTile, tokens - tile) * RegisterTile.columns)
  }

  /// Tokens of a part that are packed at a time.
  static let chunk = 512

  /// Packs a chunk of one tensor of keys and its values.
  func pack(_ part: Int, _ tokens: Range<Int>, item: Int, head: Int) {
    let (keys, values) = keyValues[part]
    let width = RegisterTile.columns
    let keyPanels = self.keys(part, from: 0)
    for token in tokens {
      let source = keys.address(item, head, token)
      let column = token % width
      let panel = keyPanels + (token - column) * keys.size
      for channel in 0..<keys.size { panel[channel * width + column] = source[channel] }
      if token == keys.tokens - 1 && column < width - 1 {
        for channel in 0..<keys.size {
          (panel + channel * width + column + 1).update(repeating: 0, count: width - 1 - column)
        }
      }
    }
    // Chunks may begin and end within tiles.
    for tile in stride(from: tokens.lowerBound / keyTile * keyTile, to: tokens.upperBound, by: keyTile) {
      let panels = self.values(part, tile: tile)
      for panel in 0..<(values.size + width - 1) / width {
        let count = min(width, values.size - panel * width)
        for token in tokens.clamped(to: tile..<tile + keyTile) {
          let target = panels.first + panel * panels.stride + (token - tile) * width
          target.update(from: values.address(item, head, token) + panel * width, count: count)
          if count < width { (target + count).update(repeating: 0, count: width - count) }
        }
      }
    }
  }
}

/// How far the work with one head's keys and values is. Tasks are begun in order, so whoever waits here waits for tasks that other
/// threads are at.
final class HeadProgress: Sendable {
  private let chunks: Int
  private let users: Int
  private let packed = Atomic<Int>(0)
  private let finished = Atomic<Int>(0)

  /// - Parameters:
  ///   - chunks: how many tasks pack.
  ///   - users: how many tasks read what is packed.
  init(chunks: Int, users: Int) {
    self.chunks = chunks
    self.users = users
  }

  func didPack() { packed.add(1, ordering: .releasing) }
  func didUse() { finished.add(1, ordering: .releasing) }
  func waitUntilPacked() { wait { packed.load(ordering: .acquiring) == chunks } }
  func waitUntilFree() { wait { finished.load(ordering: .acquiring) == users } }

  private func wait(until holds: () -> Bool) {
    for _ in 0..<1000 where holds() { return }
    while !holds() { sched_yield() }
  }
}
