import Generation

/// Which card each rank of a host takes: the ranks one after the other, from the first card on.
struct DevicePlacement {
  private let greetings: [RankGreeting]

  init(_ greetings: [RankGreeting]) { self.greetings = greetings }

  /// The card of a rank, as CANN numbers those that the process may use.
  /// - Parameters:
  ///   - first: the first rank's card; nil for card 0.
  ///   - count: how many the process may use.
  /// - Throws: where there are too few, or two ranks would share one.
  func index(of rank: Int, first: Int?, count: Int) throws(RequestError) -> Int {
    let mine = greetings[rank]
    let neighbours = greetings.indices.filter { greetings[$0].host == mine.host }
    var owners: [String: Int] = [:]
    for (place, other) in neighbours.enumerated() {
      let card = card(of: other, place: place, first: first, count: count)
      // A launcher that gives each rank cards of its own makes them all count from 0.
      if card == nil || owners[card ?? ""] != nil { throw tooFew(neighbours.count, count, first) }
      owners[card ?? ""] = other
    }
    let place = neighbours.firstIndex(of: rank) ?? 0
    return ((first ?? 0) + place) % count
  }

  /// What tells a rank's card from others of the host; nil where there is none.
  private func card(of rank: Int, place: Int, first: Int?, count: Int) -> String? {
    let index = (first ?? 0) + place
    guard let visible = greetings[rank].visibleDevices, !visible.isEmpty else {
      return index < count ? "\(index)" : nil
    }
    return visible[index % visible.count]
  }

  private func tooFew(_ ranks: Int, _ count: Int, _ first: Int?) -> RequestError {
    let last = (first ?? 0) + ranks - 1
    return RequestError(
      "too few NPUs", at: "--device",
      expected: ranks == 1
        ? "an index below \(count), the number of cards"
        : "a card for each of the \(ranks) ranks of a host, up to \(last)",
      found: count == 1 ? "1 card" : "\(count) cards",
      remedy: "start fewer ranks on a host or take them from a lower card; hyvideo devices lists them")
  }
}
