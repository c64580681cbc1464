import Collectives
import Generation
import HunyuanVideo

/// How the ranks of a run share its work.
struct RankSharing {
  let layout: RankLayout
  /// Whether all ranks decode tiles.
  let sharesTiles: Bool
  /// The threads of this rank where none are asked for.
  let threads: Int
  /// What to say before the run.
  let notes: [String]

  init(_ options: RankOptions, model: ModelFolder, session: RankSession) throws {
    let count = session.group.size
    try options.requireCount(of: count)
    let asked = try options.layout(of: count)
    let hosts = session.hosts
    threads = hosts.threads(of: session.group.rank)
    sharesTiles = options.useVaeParallel ?? (count > 1)
    guard count > 1 else {
      (layout, notes) = (RankLayout(ulysses: 1, ring: 1), [])
      return
    }
    var notes: [String] = []
    if let asked {
      layout = asked
      notes.append("\(count) ranks: Ulysses \(layout.ulysses) x ring \(layout.ring)")
    } else {
      let heads = try model.transformerNetwork().transformerConfiguration().headCount
      let choice = RankLayout.automatic(ranks: count, ranksPerHost: hosts.ranksPerHost, heads: heads)
      layout = choice.layout
      notes.append(choice.reason)
    }
    notes.append("\(threads) \(threads == 1 ? "thread" : "threads") on rank 0")
    if let unused = hosts.unusedCores(of: session.group.rank) { notes.append(unused) }
    self.notes = notes
  }
}
