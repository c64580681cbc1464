import Generation
import Layers
import TensorCore
import TensorOps

/// Queries, keys and values of a whole sample, which ranks take their shares of.
struct ShardedAttentionSample: Sendable {
  let video: AttentionInputs
  let text: AttentionInputs

  /// - Parameter makeTensor: `[B, L, N, D]`.
  init(
    batch: Int = 1, videoTokens: Int, textTokens: Int, heads: Int, headSize: Int, makeTensor: (Shape) -> Tensor
  ) {
    func inputs(_ count: Int) -> AttentionInputs {
      let shape: Shape = [batch, count, heads, headSize]
      return AttentionInputs(query: makeTensor(shape), key: makeTensor(shape), value: makeTensor(shape))
    }
    (video, text) = (inputs(videoTokens), inputs(textTokens))
  }

  /// Attention of a rank's share.
  func attended(
    by ranks: SequenceGroup, rank: Int, on backend: any Backend
  ) throws -> (video: Tensor, text: Tensor) {
    let counts = (video: video.query.shape[1], text: text.query.shape[1])
    func share(_ inputs: AttentionInputs, _ count: Int) -> AttentionInputs {
      let range = ShardPlan(count: count, parts: ranks.layout.ranks).range(rank)
      return AttentionInputs(
        query: inputs.query.slice(1, range), key: inputs.key.slice(1, range), value: inputs.value.slice(1, range))
    }
    return try ShardedJointAttention(ranks).attend(
      video: share(video, counts.video), text: share(text, counts.text), at: site, on: backend)
  }

  /// The sample as a row of tokens.
  var site: AttentionSite { AttentionSite(grid: [1, 1, video.query.shape[1]], textTokens: text.query.shape[1]) }
}
