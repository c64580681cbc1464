import TensorCore
import TensorOps

/// Tiles of a plan. Most of a large video are alike: a tile like others before, beside which no more is held than beside those, needs what
/// they did, and is not walked through again.
final class PlannedTiles {
  private struct Known {
    let decoded: Shape
    var work: OperationCounts
    var walked = 0
    /// Tiles that were not walked through.
    var others = 0
    /// The most that was held beside one.
    var held = 0
  }

  /// After so many of a shape, memory that is kept for reuse is as it stays.
  private static let walkedLimit = 3
  private let backend: any PlanningBackend
  private var known: [Shape: Known] = [:]
  private var walked = OperationCounts()

  /// - Parameter backend: any of a plan: all have its memory and its journal.
  init(_ backend: any PlanningBackend) { self.backend = backend }

  func decode(_ tile: Tensor, by decode: (Tensor) throws -> Tensor) throws -> Tensor {
    let held = backend.memory.statistics.pool.bytesInUse
    if let like = known[tile.shape], like.walked >= Self.walkedLimit, held <= like.held {
      known[tile.shape]?.others += 1
      return backend.memory.tensor(like.decoded)
    }
    walked.add(backend.journal.take())
    let decoded = try decode(tile)
    let work = backend.journal.take()
    walked.add(work)
    var like = known[tile.shape] ?? Known(decoded: decoded.shape, work: work)
    (like.work, like.walked, like.held) = (work, like.walked + 1, max(like.held, held))
    known[tile.shape] = like
    return decoded
  }

  /// The work of all tiles, and what was done between them.
  func takeWork() -> OperationCounts {
    walked.add(backend.journal.take())
    for like in known.values { walked.add(like.work, times: like.others) }
    return walked
  }
}
