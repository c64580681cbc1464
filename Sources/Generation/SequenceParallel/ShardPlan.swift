/// Dealing out a count to parts as evenly as it goes: the first parts get one more where it does not divide.
public struct ShardPlan: Sendable, Hashable {
  public let count: Int
  public let parts: Int

  public init(count: Int, parts: Int) {
    precondition(count >= 0 && parts > 0, "shards: \(count) in \(parts) parts")
    (self.count, self.parts) = (count, parts)
  }

  /// What part `index` gets of `0..<count`.
  public func range(_ index: Int) -> Range<Int> { start(index)..<start(index + 1) }

  /// How many part `index` gets.
  public func size(_ index: Int) -> Int { range(index).count }

  private func start(_ index: Int) -> Int { index * (count / parts) + min(index, count % parts) }
}
