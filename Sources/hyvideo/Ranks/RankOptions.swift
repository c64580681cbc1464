import ArgumentParser
import Generation

/// The flags that share a video out to several processes.
struct RankOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      """
      Processes that make each video together; started with mpirun. On several hosts, and under Slurm, start hyvideo with \
      the launcher instead and leave this out.
      """, valueName: "count"))
  var ranks: Int?
  @Option(
    help: ArgumentHelp(
      "Neighbouring ranks that exchange heads. Default, with --ring-degree: chosen for the hosts and heads, and printed.",
      valueName: "ranks"))
  var ulyssesDegree: Int?
  @Option(help: ArgumentHelp("Groups of ranks that pass keys and values round.", valueName: "ranks"))
  var ringDegree: Int?
  @Flag(
    name: .long, inversion: .prefixedNo,
    help: "Decode the tiles of a video on all ranks (default) or on the first alone; the video is the same.")
  var useVaeParallel: Bool?
  @Flag(
    help: """
      With --cfg-scale above 1: half of the ranks evaluates the prompt, half the negative prompt; the degrees are those of a \
      half.
      """)
  var cfgParallel = false

  private static let limit = 4096

  /// The degrees that the flags ask for; nil where the choice is left to the program.
  /// - Parameter count: how many ranks there are.
  func layout(of count: Int) throws(RequestError) -> RankLayout? {
    for (flag, degree) in [("--ulysses-degree", ulyssesDegree), ("--ring-degree", ringDegree)] {
      guard let degree else { continue }
      if !(1...Self.limit).contains(degree) || count % degree != 0 {
        throw RequestError(
          "invalid layout", at: flag, expected: "a divisor of \(Self.ranks(count))", found: "\(degree)",
          remedy: count == 1
            ? "start several ranks with --ranks or mpirun" : "choose one of \(Self.divisors(count))")
      }
    }
    guard ulyssesDegree != nil || ringDegree != nil else { return nil }
    let layout = RankLayout(
      ulysses: ulyssesDegree ?? count / (ringDegree ?? 1), ring: ringDegree ?? count / (ulyssesDegree ?? 1))
    if layout.ranks != count {
      throw RequestError(
        "invalid layout", at: "--ulysses-degree, --ring-degree", expected: "a product of \(Self.ranks(count))",
        found: "\(layout.ulysses) x \(layout.ring)", remedy: "leave one of them out, or start \(layout.ranks) ranks")
    }
    return layout
  }

  /// The ranks that share a sample: half of them all where each half has a prompt of its own.
  func requireSharing(among count: Int, usesGuidance: Bool) throws(RequestError) -> Int {
    if !cfgParallel { return count }
    if !usesGuidance {
      throw RequestError(
        "no guidance to share", at: "--cfg-parallel", expected: "--cfg-scale above 1", found: "none",
        remedy: "leave --cfg-parallel out; the embedded guidance takes one evaluation per step")
    }
    if count % 2 != 0 {
      throw RequestError(
        "no halves", at: "--cfg-parallel", expected: "an even number of ranks", found: "\(count)",
        remedy: "start \(count + 1) ranks or leave --cfg-parallel out")
    }
    return count / 2
  }

  /// Takes the layout of a saved run with as many ranks where no flag asks for another.
  mutating func fill(from details: [String: String]) {
    if ulyssesDegree == nil && ringDegree == nil {
      ulyssesDegree = details["ulysses_degree"].flatMap { Int($0) }
    }
    cfgParallel = cfgParallel || details["cfg_parallel"] == "true"
  }

  /// Checks `--ranks` alone.
  func requireCount() throws(RequestError) {
    if let ranks, !(1...Self.limit).contains(ranks) {
      throw RequestError(
        "invalid rank count", at: "--ranks", expected: "1 to \(Self.limit)", found: "\(ranks)",
        remedy: "start one rank for each processor or device")
    }
  }

  /// Within a launch, the flag must say what the launcher did.
  func requireCount(of found: Int) throws(RequestError) {
    try requireCount()
    if let ranks, ranks != found {
      throw RequestError(
        "wrong rank count", at: "--ranks", expected: "the \(Self.ranks(found)) that the launcher has started",
        found: "\(ranks)", remedy: "leave --ranks out under a launcher")
    }
  }

  private static func ranks(_ count: Int) -> String { count == 1 ? "1 rank" : "\(count) ranks" }

  private static func divisors(_ count: Int) -> String {
    (1...count).filter { count % $0 == 0 }.map(String.init).joined(separator: ", ")
  }
}
