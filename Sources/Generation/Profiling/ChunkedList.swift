/// A list that only grows, in chunks that stay where they are: adding an element never copies those before it, as an array does
/// when it has become too small. That would be most of what recording an event costs.
struct ChunkedList<Element: Sendable>: Sendable {
  private static var chunkCount: Int { 1 << 12 }

  private var full: [[Element]] = []
  private var last: [Element] = []

  init() {}

  var count: Int { full.count * Self.chunkCount + last.count }

  mutating func append(_ element: Element) {
    if last.count == Self.chunkCount || full.isEmpty && last.isEmpty {
      if !last.isEmpty { full.append(last) }
      last = []
      last.reserveCapacity(Self.chunkCount)
    }
    last.append(element)
  }
}

extension ChunkedList: Sequence {
  func makeIterator() -> FlattenSequence<[[Element]]>.Iterator { (full + [last]).joined().makeIterator() }
}
