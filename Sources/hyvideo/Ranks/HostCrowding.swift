/// How ranks of one host share its cores: where their threads are more, they take turns.
struct HostCrowding {
  /// Ranks of the host.
  let ranks: Int
  /// Of each rank.
  let threads: Int
  /// Cores that the ranks may use together.
  let cores: Int

  /// How much longer a rank's work takes beside the others than alone, where all work.
  ///
  /// Threads of one rank that are more than the cores have taken turns where operations were timed already.
  var factor: Double { max(1, Double(ranks * threads) / Double(max(cores, threads, 1))) }

  /// What to say of it; nil where every thread has a core.
  var warning: String? {
    if factor <= 1 || ranks == 1 { return nil }
    let all = "\(ranks) ranks of \(threads) \(threads == 1 ? "thread" : "threads")"
    return
      "\(all) share \(cores) \(cores == 1 ? "core" : "cores"): they take turns, and more ranks than cores save no time"
  }
}
