import Collectives
import Generation
import HunyuanVideo

/// How the ranks of a run share its work.
struct RankSharing {
  /// Of all ranks, or of each half that has a prompt of its own.
  let layout: RankLayout
  /// Whether half of the ranks evaluates the prompt and half the negative prompt.
  let splitsGuidance: Bool
  /// Whether all ranks decode tiles.
  let sharesTiles: Bool
  /// The threads of this rank where none are asked for.
  let threads: Int
  /// What to say before the run.
  let notes: [String]
  let warnings: [String]

  /// - Parameter usesGuidance: whether the run evaluates a negative prompt too.
  init(_ options: RankOptions, usesGuidance: Bool, model: ModelFolder, session: RankSession) throws {
    let count = session.group.size
    try options.requireCount(of: count)
    let sharing = try options.requireSharing(among: count, usesGuidance: usesGuidance)
    splitsGuidance = options.cfgParallel
    let asked = try options.layout(of: sharing)
    let hosts = session.hosts
    threads = hosts.threads(of: session.group.rank)
    sharesTiles = options.useVaeParallel ?? (count > 1)
    guard count > 1 else {
      (layout, notes) = (RankLayout(ulysses: 1, ring: 1), [])
      warnings = RankLaunch.warning.map { [$0] } ?? []
      return
    }
    var notes: [String] = []
    if sharing == 1 {
      layout = RankLayout(ulysses: 1, ring: 1)
    } else if let asked {
      layout = asked
      notes.append("\(sharing) ranks: Ulysses \(layout.ulysses) x ring \(layout.ring)")
    } else {
      let heads = try model.transformerNetwork().transformerConfiguration().headCount
      let choice = RankLayout.automatic(
        ranks: sharing, ranksPerHost: min(sharing, hosts.ranksPerHost), heads: heads)
      layout = choice.layout
      notes.append(choice.reason)
    }
    if splitsGuidance { notes.append("one half of \(count) ranks for the prompt, one for the negative prompt") }
    notes.append("\(threads) \(threads == 1 ? "thread" : "threads") on rank 0")
    warnings = hosts.unusedCores(of: session.group.rank).map { [$0] } ?? []
    self.notes = notes
  }

  /// What a saved run says of its ranks: as many that share the work alike give the same bits.
  func details(ranks: Int) -> [String: String] {
    [
      "ranks": "\(ranks)", "ulysses_degree": "\(layout.ulysses)", "ring_degree": "\(layout.ring)",
      "cfg_parallel": "\(splitsGuidance)",
    ]
  }

  /// `2 ranks (Ulysses 2 x ring 1)`, of such details.
  static func text(_ details: [String: String]) -> String {
    let ranks = details["ranks"] ?? "1"
    if ranks == "1" { return "1 rank" }
    let halves = details["cfg_parallel"] == "true" ? ", halves for the prompt and the negative prompt" : ""
    return
      "\(ranks) ranks (Ulysses \(details["ulysses_degree"] ?? "?") x ring \(details["ring_degree"] ?? "?")\(halves))"
  }

  /// The groups of a pipeline. All ranks call this.
  func groups(_ all: any ProcessGroup) throws -> (ranks: SequenceGroup, halves: GuidanceHalves?) {
    let halves = splitsGuidance ? try GuidanceHalves(all) : nil
    return (try SequenceGroup(halves?.half ?? all, layout: layout), halves)
  }
}
