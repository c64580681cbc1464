public import Collectives
import TensorCore
import TensorOps

/// True guidance on two halves of the ranks: the first evaluates the network on the prompt, the second on the negative prompt,
/// at the same time. After each step a rank exchanges its prediction with the rank at its place in the other half, and both take
/// the same step.
public struct GuidanceHalves: Sendable {
  /// The ranks that evaluate the same prompt as this one.
  public let half: any ProcessGroup
  let all: any ProcessGroup
  private let pair: any ProcessGroup
  /// What this rank's half evaluates.
  let branch: GuidanceBranch

  /// - Precondition: the group has an even number of ranks.
  public init(_ group: any ProcessGroup) throws(CollectiveError) {
    precondition(group.size % 2 == 0, "guidance: \(group.size) ranks do not make two halves")
    let size = group.size / 2
    (all, branch) = (group, group.rank < size ? .positive : .negative)
    half = try group.subgroup(color: group.rank / size, key: group.rank)
    pair = try group.subgroup(color: group.rank % size, key: group.rank)
  }

  /// Groups that are there already.
  init(half: any ProcessGroup, all: any ProcessGroup, pair: any ProcessGroup, branch: GuidanceBranch) {
    (self.half, self.all, self.pair, self.branch) = (half, all, pair, branch)
  }

  /// The predictions for the prompt and for the negative prompt, `[1, C, F, H, W]`.
  /// - Parameters:
  ///   - velocity: this half's.
  ///   - computed: whether the network was run for it, not a step cache asked.
  /// - Returns: the predictions, and for how many of them the network was run.
  func exchanged(
    _ velocity: Tensor, computed: Bool, on backend: any Backend
  ) throws(BackendError) -> (positive: Tensor, negative: Tensor, computed: Int) {
    let mine = try backend.download(velocity)
    let count: Int32 = computed ? 1 : 0
    let other = branch == .positive ? 1 : 0
    let received = try communicating { () throws(CollectiveError) in
      try pair.transfer(
        sending: [OutgoingMessage(mine, to: other), OutgoingMessage(Tensor([count], shape: [1]), to: other)],
        receiving: [IncomingMessage(mine.shape, from: other), IncomingMessage([1], .int32, from: other)]
      ).wait()
    }
    let theirs = try backend.upload(received[0])
    return (
      branch == .positive ? velocity : theirs, branch == .positive ? theirs : velocity,
      Int(count) + received[1].integers()[0]
    )
  }
}
