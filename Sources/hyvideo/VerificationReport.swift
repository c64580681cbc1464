import Foundation

/// What one rank and several made, for each layout that was compared.
struct VerificationReport {
  /// At least one.
  private let layouts: [RankVerification]
  /// Whether the tiles of one rank and of all are the same to the last bit; nil where tiles were not dealt out.
  private let decodingIsIdentical: Bool?

  init(_ layouts: [RankVerification], decodingIsIdentical: Bool?) {
    precondition(!layouts.isEmpty, "verification: no layout was compared")
    (self.layouts, self.decodingIsIdentical) = (layouts, decodingIsIdentical)
  }

  /// For programs: the keys of one layout, and where there are several, those of the worst with a list of all.
  private struct Summary: Encodable {
    let worst: RankVerification
    let decodingIsIdentical: Bool?
    let agrees: Bool
    let layouts: [RankVerification]

    enum CodingKeys: String, CodingKey { case agrees, decodingIsIdentical, layouts }

    func encode(to encoder: any Encoder) throws {
      try worst.encode(to: encoder)
      var container = encoder.container(keyedBy: CodingKeys.self)
      try container.encode(agrees, forKey: .agrees)
      try container.encodeIfPresent(decodingIsIdentical, forKey: .decodingIsIdentical)
      if layouts.count > 1 { try container.encode(layouts, forKey: .layouts) }
    }
  }

  private var agrees: Bool { layouts.allSatisfy(\.agrees) && decodingIsIdentical != false }

  /// The layout that differs most. A number that is none is the largest.
  private var worst: RankVerification {
    layouts.dropFirst().reduce(layouts[0]) { worst, other in
      if worst.agrees != other.agrees { return worst.agrees ? other : worst }
      return other.maxRelativeDifference <= worst.maxRelativeDifference ? worst : other
    }
  }

  func json() throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "infinity", negativeInfinity: "-infinity", nan: "nan")
    let summary = Summary(worst: worst, decodingIsIdentical: decodingIsIdentical, agrees: agrees, layouts: layouts)
    return String(decoding: try encoder.encode(summary), as: UTF8.self)
  }

  /// The steps of one layout, or the verdicts of several.
  var table: String {
    var lines = layouts.count == 1 ? [layouts[0].table] : layouts.map(\.verdict)
    if let decodingIsIdentical {
      lines.append(
        decodingIsIdentical
          ? "the same latents decode to the same bits on one rank and on all"
          : "DIFFERS: the same latents decode to other bits on all ranks than on one")
    }
    return lines.joined(separator: "\n")
  }

  /// What differs; nil where nothing does.
  var failure: Failure? {
    if let failure = layouts.lazy.compactMap(\.failure).first { return failure }
    if decodingIsIdentical != false { return nil }
    return Failure(
      message:
        "ranks and one rank differ: the video: expected the same bits from the same latents, found different ones; "
        + "please report it with the command line", status: 1)
  }
}
