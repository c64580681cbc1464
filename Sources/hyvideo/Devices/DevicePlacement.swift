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
    let neighbours = greetings.indices.filter { greetings[$0].host == greetings[rank].host }
    var taken: Set<String> = []
    var own = 0
    for other in neighbours {
      // A launcher that gives ranks cards of their own makes them all count from 0.
      let visible = greetings[other].visibleDevices
      let place = neighbours.count { $0 < other && greetings[$0].visibleDevices == visible }
      let index = (first ?? 0) + place
      let cards = visible ?? (0..<count).map(String.init)
      guard index < (other == rank ? count : cards.count), index < cards.count, taken.insert(cards[index]).inserted
      else {
        throw tooFew(neighbours.count, count, first)
      }
      if other == rank { own = index }
    }
    return own
  }

  private func tooFew(_ ranks: Int, _ count: Int, _ first: Int?) -> RequestError {
    if ranks == 1 {
      return RequestError(
        "no such NPU", at: "--device", expected: "an index below \(count), the number of cards",
        found: "\(first ?? 0)", remedy: "hyvideo devices lists them")
    }
    let last = (first ?? 0) + ranks - 1
    return RequestError(
      "too few NPUs", at: "--device",
      expected: "a card for each of the \(ranks) ranks of a host, up to \(last)",
      found: count == 1 ? "1 card" : "\(count) cards",
      remedy: "start fewer ranks on a host or take them from a lower card; hyvideo devices lists them")
  }
}
