import Foundation
import Generation

/// The command line of this process with other settings, to paste.
struct ProposedCommand: CustomStringConvertible {
  let description: String

  /// Flags that a proposal may change, or that only `plan` has, and how many values they take at most.
  private static let replaced = [
    "--video-size": 2, "--video-length": 1, "--vae-tiling": 0, "--no-vae-tiling": 0, "--ranks": 1, "--json": 0,
    "--recalibrate": 0, "--ulysses-degree": 1, "--ring-degree": 1, "--force": 0,
    "--dry-run": 0,
  ]
  /// Flags of step caches, for a proposal without one.
  private static let cacheFlags = [
    "--cache": 1, "--cache-option": 1, "--teacache": 0, "--rel_l1_thresh": 1, "--fidelity-budget": 1,
    "--calibration": 1,
    "--measure-fidelity": 0,
  ]

  /// - Parameter proposal: what is to differ from `request`.
  init(
    _ proposal: Forecaster.Proposal, insteadOf request: GenerationRequest, arguments: [String] = CommandLine.arguments
  ) {
    var kept: [String] = []
    var rest = arguments.dropFirst()
    if let command = rest.first, !command.hasPrefix("-") { rest = rest.dropFirst() }
    let changesRanks = proposal.ranks != nil
    let dropsCache = request.cache != .none && proposal.request.cache == .none
    let replaced = dropsCache ? Self.replaced.merging(Self.cacheFlags) { $1 } : Self.replaced
    while let argument = rest.popFirst() {
      let name = String(argument.prefix { $0 != "=" })
      let isRankFlag = ["--ranks", "--ulysses-degree", "--ring-degree"].contains(name)
      guard let count = replaced[name], changesRanks || !isRankFlag else {
        kept.append(argument)
        continue
      }
      if argument.contains("=") { continue }
      for _ in 0..<count where rest.first.map({ !$0.hasPrefix("-") }) ?? false { rest = rest.dropFirst() }
    }
    let new = proposal.request
    kept += ["--video-size", "\(new.roundedHeight)", "\(new.roundedWidth)", "--video-length", "\(new.frames)"]
    if new.vaeTiling != request.vaeTiling { kept.append("--vae-tiling") }
    if dropsCache { kept += ["--cache", "none"] }
    if let ranks = proposal.ranks { kept += ["--ranks", "\(ranks)"] }
    let hasPrompt = kept.contains {
      ["--prompt", "--prompt-file", "--resume"].contains(String($0.prefix { $0 != "=" }))
    }
    if !hasPrompt { kept += ["--prompt", request.prompt] }
    description = ShellCommand.line(["hyvideo", "generate"] + kept)
  }
}
