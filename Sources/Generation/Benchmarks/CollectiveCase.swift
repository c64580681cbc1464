public import Collectives
import TensorCore
public import TensorOps

/// An operation by which ranks exchange tensors, with what it has to give: for devices that nobody has tried. Tensors are where the
/// group takes them, on the device or on the host. All values are small whole numbers, which every type has, and so have their
/// sums: results are right or wrong, however they were added.
public struct CollectiveCase: Sendable {
  /// `all-gather`
  public let operation: String
  /// Of a tensor, about.
  public let elements: Int
  private let body: @Sendable (Checked) throws -> Void

  /// All cases; ranks run them in this order.
  public static let all = [1003, 1 << 19].flatMap { elements in
    [
      CollectiveCase("all-to-all", elements) { try $0.allToAll(elements) },
      CollectiveCase("all-gather", elements) { try $0.allGather { _ in elements } },
      CollectiveCase("all-gather of unequal parts", elements) { try $0.allGather { elements + $0 } },
      CollectiveCase("broadcast from the first rank", elements) { try $0.broadcast(elements, from: 0) },
      CollectiveCase("broadcast from the last rank", elements) { try $0.broadcast(elements, from: $0.size - 1) },
      CollectiveCase("all-reduce: sum", elements) { try $0.allReduce(elements, .sum) },
      CollectiveCase("all-reduce: maximum", elements) { try $0.allReduce(elements, .maximum) },
      CollectiveCase("send and receive round a ring", elements) { try $0.passRound(elements) },
      CollectiveCase("all-gather of every second rank", elements) { try $0.split()?.allGather { _ in elements } },
    ]
  }

  private init(_ operation: String, _ elements: Int, _ body: @escaping @Sendable (Checked) throws -> Void) {
    (self.operation, self.elements, self.body) = (operation, elements, body)
  }

  /// Runs the operation on this rank, as all ranks do.
  /// - Throws: `CollectiveDifference` where it gives something else.
  public func run(on backend: any Backend, in group: any ProcessGroup) throws {
    try body(Checked(messages: TensorMessages(group: group, backend: backend), members: Array(0..<group.size)))
  }
}

/// What an operation of ranks gave in place of what it should.
public struct CollectiveDifference: Error, CustomStringConvertible {
  public let description: String
}

/// Operations whose results are looked at.
private struct Checked {
  let messages: TensorMessages
  /// Ranks of the group as ranks of all.
  let members: [Int]

  var rank: Int { messages.group.rank }
  var size: Int { messages.group.size }

  /// What a rank has for another, or for all.
  private func values(_ count: Int, from source: Int, to target: Int = 0) -> [Float] {
    // The sum over all ranks is a whole number that bfloat16 has.
    let bound = max(min(30, 250 / size), 1)
    let start = 7 * members[source] + 3 * members[target]
    return (0..<count).map { Float((start + 5 * $0) % (2 * bound + 1) - bound) }
  }

  private func tensor(_ count: Int, from source: Int, to target: Int = 0) throws -> Tensor {
    try messages.backend.upload(Tensor(values(count, from: source, to: target), shape: [count]))
  }

  private func require(_ tensor: Tensor, _ expected: [Float], _ what: String) throws {
    let found = try messages.backend.download(tensor).floats()
    if found == expected { return }
    let wrong = zip(found, expected).enumerated().filter { $1.0 != $1.1 }.map(\.offset)
    guard let first = wrong.first, found.count == expected.count else {
      throw CollectiveDifference(description: "\(what): expected \(expected.count) elements, found \(found.count)")
    }
    throw CollectiveDifference(
      description: "\(what): element \(first): expected \(expected[first]), found \(found[first]); "
        + "\(wrong.count) of \(found.count) differ")
  }

  func allToAll(_ elements: Int) throws {
    func count(from source: Int, to target: Int) -> Int { elements / size + 2 * source + target }
    let others = (0..<size).filter { $0 != rank }
    let transfer = try messages.start(
      others.map {
        try OutgoingMessage(messages.outgoing([tensor(count(from: rank, to: $0), from: rank, to: $0)]), to: $0)
      },
      others.map { messages.incoming([count(from: $0, to: rank)], from: $0) }, .allToAll)
    for (source, tensor) in zip(others, try messages.wait(transfer)) {
      try require(
        tensor, values(count(from: source, to: rank), from: source, to: rank), "what rank \(members[source]) sent")
    }
  }

  func allGather(_ count: (Int) -> Int) throws {
    let transfer = try messages.group.startAllGather(
      messages.outgoing([tensor(count(rank), from: rank)]),
      receiving: (0..<size).map { messages.incoming([count($0)], from: $0) })
    for (source, tensor) in try messages.wait(transfer).enumerated() {
      try require(tensor, values(count(source), from: source), "what rank \(members[source]) gave")
    }
  }

  func broadcast(_ elements: Int, from root: Int) throws {
    let mine = rank == root ? try tensor(elements, from: root) : nil
    let given = try messages.broadcast(mine, shape: [elements], from: root)
    try require(given, values(elements, from: root), "what rank \(members[root]) gave")
  }

  func allReduce(_ elements: Int, _ reduction: Reduction) throws {
    let result = try messages.allReduce(tensor(elements, from: rank), reduction)
    let parts = (0..<size).map { values(elements, from: $0) }
    let expected = parts.dropFirst().reduce(parts[0]) { zip($0, $1).map(reduction == .sum ? (+) : max) }
    try require(result, expected, "the result")
  }

  /// Two tensors from each rank to the next, until each is back: as keys and values go.
  func passRound(_ elements: Int) throws {
    let (next, previous) = ((rank + 1) % size, (rank + size - 1) % size)
    let counts = [elements, elements / 2 + 1]
    var held = try counts.map { try messages.outgoing([tensor($0, from: rank)]) }
    // A rank that found a difference goes on to the end: its neighbours wait for what it passes on.
    var difference: CollectiveDifference?
    for turn in 1...size {
      held = try messages.group.transfer(
        sending: held.map { OutgoingMessage($0, to: next) },
        receiving: counts.map { messages.incoming([$0], from: previous) }
      ).wait()
      let source = (rank + size - turn) % size
      for (count, tensor) in zip(counts, held) {
        do {
          try require(messages.arrived(tensor), values(count, from: source), "what rank \(members[source]) sent round")
        } catch let found as CollectiveDifference {
          difference = difference ?? found
        }
      }
    }
    if let difference { throw difference }
  }

  /// The ranks of even numbers, or those of odd ones; nil where this one is alone among them.
  func split() throws -> Checked? {
    let part = try messages.group.subgroup(color: rank % 2, key: rank)
    if part.size == 1 { return nil }
    return Checked(
      messages: TensorMessages(group: part, backend: messages.backend),
      members: members.filter { $0 % 2 == rank % 2 })
  }
}
