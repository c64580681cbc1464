import TensorCore
import TensorOps

/// How products of attention are made.
enum AttentionMethod {
  /// In registers: as fast as oneDNN with vectors of the width that Swift's code uses, and packed once per head.
  case registers
  /// By oneDNN, where its vectors are wider, and for heads that are too wide for tiles in registers.
  case float32
  /// By oneDNN, of numbers that are rounded to bfloat16.
  case bfloat16
}

/// How attention is divided, and what memory its tasks need.
struct AttentionExtents {
  let size: Int
  let threads: Int
  let method: AttentionMethod
  let keyTile: Int
  /// What oneDNN needs beside.
  let libraryBytes: Int

  /// Measured (docs/speed.md).
  private static let widestPackedHead = 256

  /// The most queries of a tile for oneDNN.
  private static let libraryTile = 256

  /// - Parameter longestQueries: tokens of the longest tensor of queries; of keys likewise.
  init(
    size: Int, longestQueries: Int, longestKeys: Int, threads: Int, precision: ProductPrecision, _ cache: ProductCache
  ) throws(BackendError) {
    self.size = size
    self.threads = threads
    if size > AttentionExtents.widestPackedHead {
      method = .float32
    } else if precision == .bfloat16 {
      method = .bfloat16
    } else {
      method = OneDNN.hasWideVectors ? .float32 : .registers
    }
    // oneDNN packs keys and values for each product, so its tiles are larger.
    keyTile = RegisterTile.paddedColumns(min(method == .registers ? 256 : 512, max(longestKeys, 1)))
    let rows = max(min(longestQueries, AttentionExtents.libraryTile), 1)
    switch method {
    case .registers: libraryBytes = 0
    case .float32:
      libraryBytes = try LibraryProducts<Float>.libraryBytes(rows: rows, size: size, keyTile: keyTile, cache)
    case .bfloat16:
      libraryBytes = try LibraryProducts<BFloat16>.libraryBytes(rows: rows, size: size, keyTile: keyTile, cache)
    }
  }

  /// Divides the queries of one tensor into tiles, enough of them for all threads.
  func queryTiles(_ count: Int, heads: Int) -> [Range<Int>] {
    if count == 0 { return [] }
    let wanted = max(1, (2 * threads + heads - 1) / max(heads, 1))
    if method == .registers {
      // Queries, scores and sums of a tile stay in a core's second cache.
      let tiles = max((count + 119) / 120, min(wanted, (count + 23) / 24))
      return AttentionExtents.ranges(count, length: RegisterTile.paddedRows((count + tiles - 1) / tiles))
    }
    let tiles = max(
      (count + AttentionExtents.libraryTile - 1) / AttentionExtents.libraryTile, min(wanted, (count + 63) / 64))
    // oneDNN is fastest where lengths are multiples of 64.
    let length = (count + tiles - 1) / tiles
    return AttentionExtents.ranges(count, length: count <= tiles * 64 ? length : (length + 63) / 64 * 64)
  }

  private static func ranges(_ count: Int, length: Int) -> [Range<Int>] {
    stride(from: 0, to: count, by: length).map { $0..<min($0 + length, count) }
  }

  /// Floats of working memory of a task with so many queries.
  func taskCount(rows: Int) -> Int {
    switch method {
    case .registers: RegisterTile.paddedRows(rows) * (size + RegisterTile.paddedColumns(size) + 2 + keyTile)
    case .float32:
      LibraryProducts<Float>.count(rows: rows, self) + rows * (size + 2 + keyTile)
    case .bfloat16:
      LibraryProducts<BFloat16>.count(rows: rows, self) + rows * (size + 2 + keyTile)
    }
  }

  /// Floats of a packed head.
  func headCount(tokens: [Int]) -> Int {
    switch method {
    case .registers: PackedHead.count(tokens: tokens, size: size)
    case .float32: DenseHead<Float>.count(tokens: tokens, size: size)
    case .bfloat16: DenseHead<BFloat16>.count(tokens: tokens, size: size)
    }
  }

  /// How many heads are packed at a time: enough for all threads to have work while the next is packed.
  func slots(heads: Int, tasksPerHead: Int) -> Int {
    min(heads, (2 * threads + tasksPerHead - 1) / max(tasksPerHead, 1) + 1)
  }
}
