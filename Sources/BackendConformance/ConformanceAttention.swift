import TensorCore
import TensorOps

extension ConformanceCase {
  /// Attention.
  public static let attention = attentionShapes + attentionMasks + attentionLists + attentionViews

  /// What attention is asked to do; tokens are those of each tensor in the list.
  private struct Problem: Sendable {
    var batch = 1
    var queries: [Int]
    var keys: [Int]
    var heads = 2
    var keyHeads = 2
    var size = 16
    var mask = AttentionMask.none
    var spread = 1.0

    var name: String {
      "attention B \(batch), queries \(queries), keys \(keys), heads \(heads)/\(keyHeads), D \(size)"
        + (mask.causalBlock.map { ", causal by \($0)" } ?? "") + (mask.validKeys.map { ", valid keys \($0)" } ?? "")
        + (spread == 1 ? "" : ", spread \(spread)")
    }

    var conformance: ConformanceCase {
      ConformanceCase(name) { [self] inputs in
        let q = try queries.map { try inputs.tensor([batch, $0, heads, size], deviation: spread) }
        let keyValues = try keys.map {
          KeyValue(
            key: try inputs.tensor([batch, $0, keyHeads, size]),
            value: try inputs.tensor([batch, $0, keyHeads, size], mean: 0.5))
        }
        let scale = Float(1 / Double(size).squareRoot())
        let outputs = try inputs.backend.attention(
          queries: q, keyValues: keyValues, scale: scale, mask: mask, logSumExp: true)
        let plain = try inputs.backend.attention(
          queries: q, keyValues: keyValues, scale: scale, mask: mask, logSumExp: false)
        return outputs.flatMap { [$0.values] + ($0.logSumExp.map { [$0] } ?? []) } + plain.map(\.values)
      }
    }
  }

  /// Odd lengths around common tile sizes, head sizes that no vector width divides, the autoencoder's single head.
  private static let attentionShapes = [
    Problem(queries: [1], keys: [1]),
    Problem(queries: [1], keys: [513]),
    Problem(queries: [5], keys: [5], heads: 3, keyHeads: 3, size: 20),
    Problem(batch: 2, queries: [31], keys: [33], size: 12),
    Problem(queries: [64], keys: [64], heads: 1, keyHeads: 1, size: 64),
    Problem(batch: 2, queries: [65], keys: [127], heads: 4, keyHeads: 4, size: 8),
    Problem(queries: [129], keys: [200], size: 128),
    Problem(queries: [300], keys: [1], heads: 1, keyHeads: 1, size: 5),
    Problem(queries: [250], keys: [530], heads: 3, keyHeads: 1, size: 128),
    Problem(queries: [70], keys: [600], heads: 1, keyHeads: 1, size: 272),
    Problem(queries: [130], keys: [1100], heads: 1, keyHeads: 1, size: 24),
    Problem(queries: [96], keys: [96], heads: 1, keyHeads: 1, size: 512),
    Problem(batch: 2, queries: [40], keys: [40], heads: 1, keyHeads: 1, size: 512),
    Problem(queries: [17], keys: [17], heads: 24, keyHeads: 24, size: 16),
    Problem(queries: [7], keys: [70], heads: 8, keyHeads: 2, size: 16),
    Problem(batch: 2, queries: [33], keys: [33], heads: 6, keyHeads: 1, size: 20),
    Problem(queries: [50], keys: [140], size: 64, spread: 8),
  ].map(\.conformance)

  private static let attentionMasks = [
    Problem(queries: [33], keys: [33], mask: .causal),
    Problem(batch: 2, queries: [77], keys: [77], heads: 8, keyHeads: 2, mask: .causal),
    Problem(queries: [140], keys: [140], size: 64, mask: .causal),
    Problem(queries: [40], keys: [50], mask: .causal),
    Problem(queries: [50], keys: [40], mask: .causal),
    Problem(queries: [60], keys: [60], heads: 1, keyHeads: 1, size: 512, mask: AttentionMask(causalBlock: 12)),
    Problem(queries: [135], keys: [135], heads: 1, keyHeads: 1, size: 48, mask: AttentionMask(causalBlock: 27)),
    Problem(queries: [300], keys: [300], heads: 1, keyHeads: 1, mask: AttentionMask(causalBlock: 100)),
    Problem(queries: [9], keys: [9], mask: AttentionMask(causalBlock: 100)),
    Problem(batch: 2, queries: [12], keys: [12], mask: AttentionMask(validKeys: [12, 5])),
    Problem(batch: 2, queries: [70], keys: [140], mask: AttentionMask(validKeys: [1, 129])),
    Problem(batch: 2, queries: [5], keys: [9], mask: AttentionMask(validKeys: [0, 9])),
    Problem(
      batch: 2, queries: [40], keys: [40], heads: 4, keyHeads: 2,
      mask: AttentionMask(causalBlock: 1, validKeys: [13, 40])),
    Problem(batch: 2, queries: [8], keys: [8], mask: AttentionMask(causalBlock: 4, validKeys: [3, 0])),
  ].map(\.conformance)

  private static let attentionLists = [
    Problem(queries: [24, 5], keys: [24, 5]),
    Problem(batch: 2, queries: [130, 11], keys: [130, 11], heads: 4, keyHeads: 4, size: 32),
    Problem(queries: [3], keys: [1, 64, 7, 130]),
    Problem(queries: [1, 2, 3], keys: [9], heads: 4, keyHeads: 2),
    Problem(batch: 2, queries: [20, 6], keys: [20, 6], mask: AttentionMask(validKeys: [22, 26])),
    Problem(batch: 2, queries: [20, 6], keys: [20, 6], mask: AttentionMask(validKeys: [20, 7])),
    Problem(queries: [10, 7], keys: [6, 11], mask: .causal),
    Problem(queries: [10, 8], keys: [9, 9], mask: AttentionMask(causalBlock: 6)),
  ].map(\.conformance)

  /// Queries, keys and values where a fused projection `[B, L, 3·N·D]` has them, and tokens of a longer sequence.
  private static let attentionViews = [(1, 9, 2, 16), (2, 65, 3, 20), (2, 1, 4, 8)].flatMap {
    (batch, tokens, heads, size) in
    [false, true].map { isSliced in
      ConformanceCase("attention in a projection [\(batch), \(tokens), 3·\(heads)·\(size)], some tokens \(isSliced)") {
        inputs in
        let width = heads * size
        let projection =
          try isSliced
          ? inputs.slice([batch, tokens, 3 * width], axis: 1) : inputs.tensor([batch, tokens, 3 * width])
        let parts = (0..<3).map {
          projection.slice(2, $0 * width..<($0 + 1) * width).reshaped([batch, tokens, heads, size])
        }
        let outputs = try inputs.backend.attention(
          queries: [parts[0]], keyValues: [KeyValue(key: parts[1], value: parts[2])], scale: 0.25, mask: .none,
          logSumExp: true)
        return outputs.flatMap { [$0.values] + ($0.logSumExp.map { [$0] } ?? []) }
      }
    }
  }
}
