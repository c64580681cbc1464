/// A min-heap of merges that may be applied, ordered by rank, then by position in the word.
struct MergeQueue {
  struct Candidate {
    /// Rank in the upper half, position in the lower: the order of application.
    fileprivate var key: UInt64
    /// The token the merge makes.
    var id: Int32
    /// Index of the left symbol.
    var position: Int { Int(truncatingIfNeeded: key & 0xFFFF_FFFF) }
  }

  private var heap: [Candidate] = []

  mutating func removeAll() { heap.removeAll(keepingCapacity: true) }

  mutating func insert(_ merge: MergeTable.Merge, at position: Int32) {
    let candidate = Candidate(key: UInt64(merge.rank) << 32 | UInt64(UInt32(bitPattern: position)), id: merge.id)
    var hole = heap.count
    heap.append(candidate)
    while hole > 0 {
      let parent = (hole - 1) / 2
      guard candidate.key < heap[parent].key else { break }
      heap[hole] = heap[parent]
      hole = parent
    }
    heap[hole] = candidate
  }

  mutating func removeFirst() -> Candidate? {
    guard let last = heap.popLast() else { return nil }
    guard let first = heap.first else { return last }
    var hole = 0
    while true {
      var child = 2 * hole + 1
      guard child < heap.count else { break }
      if child + 1 < heap.count, heap[child + 1].key < heap[child].key { child += 1 }
      guard heap[child].key < last.key else { break }
      heap[hole] = heap[child]
      hole = child
    }
    heap[hole] = last
    return first
  }
}
