import CPUBackend
import Collectives
import Generation
import HunyuanVideo
import TensorCore
import TensorOps
import TensorTesting
import Testing

/// Cache rules on ranks that share a sample, which are threads here.
@Suite struct StepCacheRankTests {
  struct Rule: Sendable, CustomTestStringConvertible {
    let method: String
    let options: [String: String]
    var testDescription: String { "\(method) \(options.sorted { $0.key < $1.key })" }

    func settings() throws -> StepCacheSettings { try StepCacheSettings(method: method, options: options) }
  }

  /// Every rule, with thresholds between the changes of the sample's steps, so that some are computed and some are not.
  static let rules = [
    Rule(method: "teacache", options: ["rel_l1_thresh": "0.6", "coefficients": "1,0"]),
    Rule(method: "teacache-ascend", options: ["rel_l1_thresh": "0.6", "coefficients": "1,0"]),
    Rule(method: "fbcache", options: ["rel_l1_thresh": "0.8"]),
    Rule(method: "fbcache", options: ["rel_l1_thresh": "0.5", "signal": "output"]),
    Rule(method: "taylorseer", options: ["n_derivatives": "2"]),
    Rule(method: "taylorseer", options: ["n_derivatives": "2", "scope": "velocity"]),
    Rule(method: "easycache", options: ["thresh": "1", "ret_steps": "3"]),
    Rule(method: "magcache", options: ["K": "2", "mag_ratios": "1,1.1,1.05,1.02,1.01,1,0.99,0.98,0.97,0.95"]),
  ]

  /// Ulysses, ring and, on four ranks, both.
  static let layouts = [
    RankLayout(ulysses: 2, ring: 1), RankLayout(ulysses: 1, ring: 2), RankLayout(ulysses: 3, ring: 1),
    RankLayout(ulysses: 1, ring: 3), RankLayout(ulysses: 4, ring: 1), RankLayout(ulysses: 2, ring: 2),
    RankLayout(ulysses: 1, ring: 4),
  ]

  /// Keeps the decisions of the passes of every step: of the prompt's, then of the negative prompt's.
  private final class Decisions: GenerationObserver {
    private var caches: [any StepCache] = []
    private(set) var skipped: [[Bool]] = []

    func adding(_ cache: any StepCache) -> any StepCache {
      caches.append(cache)
      return cache
    }

    func stepDidEnd(_ record: StepRecord) { skipped.append(caches.map(\.skipped)) }
  }

  private struct Outcome: Sendable {
    let latents: Tensor
    let skipped: [[Bool]]
  }

  private static func outcome(
    of sample: TinySample, _ rule: Rule, _ ranks: SequenceGroup, group: any ProcessGroup
  ) throws -> Outcome {
    let decisions = Decisions()
    let settings = try rule.settings()
    let latents = try sample.denoised(ranks, observer: decisions) { branch in
      decisions.adding(settings.makeCache(steps: sample.steps, group: group, branch: branch))
    }
    return Outcome(latents: latents, skipped: decisions.skipped)
  }

  @Test(arguments: rules)
  func `every rule decides alike on all ranks and as one rank does, in both passes`(_ rule: Rule) throws {
    // 5 x 6 x 9 tokens divide by none of the rank counts but 2 and 3; 3 x 3 x 5 by 3 alone.
    for sample in [
      TinySample(latents: [1, 16, 5, 12, 18], textTokens: 77, guidanceScale: 1, steps: 10),
      TinySample(latents: [1, 16, 3, 6, 10], textTokens: 5, guidanceScale: 3, steps: 10),
    ] {
      let one = try Self.outcome(of: sample, rule, SequenceGroup(), group: SingleProcessGroup())
      let decisions = one.skipped.flatMap(\.self)
      #expect(decisions.contains(true) && decisions.dropFirst(3).contains(false), "\(rule): \(one.skipped)")
      for layout in Self.layouts {
        let outcomes = try LoopbackGroup.run(layout.ranks) { group in
          try Self.outcome(of: sample, rule, SequenceGroup(group, layout: layout), group: group)
        }
        for (rank, outcome) in outcomes.enumerated() {
          #expect(outcome.skipped == one.skipped, "\(rule), rank \(rank) of \(layout)")
          expectClose(outcome.latents, one.latents, relative: 1e-5, "\(rule), rank \(rank) of \(layout)")
        }
      }
    }
  }

  // MARK: Shards that would decide otherwise

  /// Which of two steps after the first each rank skips, when the first block's input and output are its part of a sample
  /// whose parts change differently.
  private static func decisions(
    _ rule: Rule, part: Range<Int>, group: any ProcessGroup
  ) throws -> [Bool] {
    let backend = ReferenceBackend()
    let cache = try rule.settings().makeCache(steps: 10, group: group)
    // Tokens of norm 1 that change by token / 100 a step: 0 % at the beginning, 9 % at the end.
    func tokens(_ step: Int) -> Tensor {
      Tensor(
        part.flatMap { token in [Float](repeating: 1 + Float(step * token) / 100, count: 4) },
        shape: [1, part.count, 4])
    }
    var skipped: [Bool] = []
    for step in 0..<5 {
      let (input, zero) = (
        tokens(step), Tensor([Float](repeating: 0, count: part.count * 4), shape: [1, part.count, 4])
      )
      let first = try cache.decide(step: step, modulatedInput: { input }, on: backend)
      let second = try cache.decide(step: step, firstBlockOutput: input, input: zero, on: backend)
      if case .compute = first, case .compute = second {
        try cache.finish(step: step, input: zero, firstBlockOutput: input, output: input, on: backend)
      }
      skipped.append(cache.skipped)
    }
    return skipped
  }

  @Test(arguments: [
    Rule(method: "teacache", options: ["rel_l1_thresh": "0.05", "coefficients": "1,0"]),
    Rule(method: "teacache-ascend", options: ["rel_l1_thresh": "0.05", "coefficients": "1,0", "warmup": "0"]),
    Rule(method: "fbcache", options: ["rel_l1_thresh": "0.05"]),
    Rule(method: "fbcache", options: ["rel_l1_thresh": "0.05", "signal": "output"]),
  ])
  func `ranks whose own parts would decide otherwise decide as the whole sample does`(_ rule: Rule) throws {
    let whole = try Self.decisions(rule, part: 0..<10, group: SingleProcessGroup())
    #expect(whole.contains(true))
    for cuts in [[0, 5, 10], [0, 1, 4, 10], [0, 3, 4, 9, 10]] {
      let parts = zip(cuts, cuts.dropFirst()).map { $0..<$1 }
      let alone = try parts.map { try Self.decisions(rule, part: $0, group: SingleProcessGroup()) }
      #expect(Set(alone).count > 1, "\(rule): the parts of \(cuts) do not differ")
      let together = try LoopbackGroup.run(parts.count) { group in
        try Self.decisions(rule, part: parts[group.rank], group: group)
      }
      #expect(together.allSatisfy { $0 == whole }, "\(rule), parts \(cuts): \(together) for \(whole)")
    }
  }
}
