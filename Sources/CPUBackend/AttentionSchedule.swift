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
  private let keyHeads: Int
  private var tasks: [Task] = []
  /// Of each batch item's heads of keys.
  private var progress: [HeadProgress] = []
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
    self.extents = extents
    self.keyValues = keyValues
    keyHeads = keyValues[0].keys.heads
    let batch = validKeys.count
    let heads = groups[0].queries.heads
    let sharing = heads / keyHeads
    let chunks = keyValues.enumerated().flatMap { (part, pair) in
      stride(from: 0, to: pair.keys.tokens, by: PackedHead.chunk).map {
        (part, $0..<min($0 + PackedHead.chunk, pair.keys.tokens))
      }
    }
    let tiles = groups.flatMap { group in
      extents.queryTiles(group.queries.tokens, heads: batch * heads).map { (group, $0) }
    }
    for index in 0..<batch * keyHeads {
      for (part, tokens) in chunks { tasks.append(.pack(head: index, part: part, tokens: tokens)) }
      for head in 0..<sharing {
        for (group, tokens) in tiles {
          let task = AttentionTask(
            group: group, item: index / keyHeads, head: index % keyHeads * sharing + head, tokens: tokens,
            validKeys: validKeys[index / keyHeads])
          tasks.append(.attend(head: index, task))
        }
      }
      progress.append(HeadProgress(chunks: chunks.count, users: sharing * tiles.count))
    }
    scratch = tiles.map { extents.taskCount(rows: $0.1.count) }.max() ?? 0
    slots = extents.slots(heads: batch * keyHeads, tasksPerHead: sharing * tiles.count)
    slotCount = extents.headCount(tokens: keyValues.map(\.keys.tokens))
  }

  func run(on pool: WorkerPool, _ cache: ProductCache) throws(BackendError) {
    let memory = Scratch(count: slots * slotCount)
    defer { withExtendedLifetime(memory) {} }
    let floats = memory.floats
    func slot(_ head: Int) -> UnsafeMutablePointer<Float> { floats + head % slots * slotCount }
    func packed(_ head: Int) -> PackedHead {
      PackedHead(keyValues: keyValues, keyTile: extents.keyTile, memory: slot(head))
    }
    func dense<Number: ProductNumber>(_ head: Int, _: Number.Type) -> DenseHead<Number> {
      DenseHead(keyValues: keyValues, memory: UnsafeMutableRawPointer(slot(head)).assumingMemoryBound(to: Number.self))
    }
    try pool.parallel(count: tasks.count, scratch: scratch) { (index, memory) throws(BackendError) in
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
