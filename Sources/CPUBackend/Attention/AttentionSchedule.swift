import TensorCore
import TensorOps

/// The tasks of one call in the order in which threads take them: for each head of keys those that pack it, then those that
/// use it. Threads go from one head to the next without waiting for each other; only so many heads are packed at a time.
struct AttentionSchedule {
  private enum Task {
    case pack(head: Int, part: Int, tokens: Range<Int>)
    case attend(head: Int, AttentionTask)
  }

  private let extents: AttentionExtents
  private let keyValues: [(keys: HeadRows, values: HeadRows)]
  private let validKeys: [Int]
  private let keyHeads: Int
  /// Query heads that use a head of keys.
  private let sharing: Int
  /// Parts of each head that are packed by a task each, and tiles of queries of each query head.
  private let chunks: [(part: Int, tokens: Range<Int>)]
  private let tiles: [(group: AttentionGroup, tokens: Range<Int>)]
  private let slots: Int
  private let slotCount: Int
  /// Floats that a task needs at most.
  private let scratch: Int

  /// - Parameters:
  ///   - groups: the tensors of queries, at least one.
  ///   - validKeys: how many keys, from the first, the queries of each batch item may see.
  init(
    _ groups: [AttentionGroup], _ keyValues: [(keys: HeadRows, values: HeadRows)], validKeys: [Int],
    _ extents: AttentionExtents
  ) {
    (self.extents, self.keyValues, self.validKeys) = (extents, keyValues, validKeys)
    keyHeads = keyValues[0].keys.heads
    let batch = validKeys.count
    let heads = groups[0].queries.heads
    sharing = heads / keyHeads
    chunks = keyValues.enumerated().flatMap { (part, pair) in
      stride(from: 0, to: pair.keys.tokens, by: PackedHead.chunk).map {
        (part, $0..<min($0 + PackedHead.chunk, pair.keys.tokens))
      }
    }
    tiles = groups.flatMap { group in
      extents.queryTiles(group.queries.tokens, heads: batch * heads).map { (group, $0) }
    }
    scratch = tiles.map { extents.taskCount(rows: $0.tokens.count) }.max() ?? 0
    slots = extents.slots(heads: batch * keyHeads, tasksPerHead: sharing * tiles.count)
    slotCount = extents.headCount(tokens: keyValues.map(\.keys.tokens))
  }

  /// Heads of keys of all batch items.
  private var headCount: Int { validKeys.count * keyHeads }

  private var tasks: [Task] {
    (0..<headCount).flatMap { index in
      chunks.map { Task.pack(head: index, part: $0.part, tokens: $0.tokens) }
        + (0..<sharing).flatMap { head in
          tiles.map { tile in
            let task = AttentionTask(
              group: tile.group, item: index / keyHeads, head: index % keyHeads * sharing + head, tokens: tile.tokens,
              validKeys: validKeys[index / keyHeads])
            return Task.attend(head: index, task)
          }
        }
    }
  }

  func run(in workspace: Workspace, _ cache: ProductCache) throws(BackendError) {
    let memory = workspace.scratch(slots * slotCount)
    defer { withExtendedLifetime(memory) {} }
    let floats = memory.floats
    func slot(_ head: Int) -> UnsafeMutablePointer<Float> { floats + head % slots * slotCount }
    func packed(_ head: Int) -> PackedHead {
      PackedHead(keyValues: keyValues, keyTile: extents.keyTile, memory: slot(head))
    }
    func dense<Number: ProductNumber>(_ head: Int, _: Number.Type) -> DenseHead<Number> {
      DenseHead(keyValues: keyValues, memory: UnsafeMutableRawPointer(slot(head)).assumingMemoryBound(to: Number.self))
    }
    let (tasks, progress) =
      workspace.computes
      ? (tasks, (0..<headCount).map { _ in HeadProgress(chunks: chunks.count, users: sharing * tiles.count) })
      : ([], [])
    try workspace.parallel(
      count: headCount * (chunks.count + sharing * tiles.count), scratch: scratch
    ) { (index, memory) throws(BackendError) in
      switch tasks[index] {
      case .pack(let head, let part, let tokens):
        if head >= slots { progress[head - slots].waitUntilFree() }
        let (item, member) = (head / keyHeads, head % keyHeads)
        switch extents.method {
        case .registers: packed(head).pack(part, tokens, item: item, head: member)
        case .float32: dense(head, Float.self).pack(part, tokens, item: item, head: member)
        case .bfloat16: dense(head, BFloat16.self).pack(part, tokens, item: item, head: member)
        }
        progress[head].didPack()
      case .attend(let head, let task):
        progress[head].waitUntilPacked()
        defer { progress[head].didUse() }
        switch extents.method {
        case .registers: task.run(packed(head), extents, memory)
        case .float32: try task.run(dense(head, Float.self), cache, extents, memory)
        case .bfloat16: try task.run(dense(head, BFloat16.self), cache, extents, memory)
        }
      }
    }
  }
}
