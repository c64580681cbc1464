import ArgumentParser

/// How much memory a run may take.
struct MemoryOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      """
      Memory that each process may hold, for example 8GiB. Weights stay on disk where that makes a run fit; one that cannot \
      fit is refused, with a command that can. Default: what the host or the control group has left.
      """, valueName: "bytes"))
  var memoryLimit: ByteCount?
  @Option(
    help: ArgumentHelp(
      """
      Memory that each process may take of its card, for example 60GiB. Default: what the card has free, and for plans \
      without a card 60 GiB.
      """, valueName: "bytes"))
  var deviceMemoryLimit: ByteCount?

  /// The flags that were given, as another command takes them.
  var words: [String] {
    [("--memory-limit", memoryLimit), ("--device-memory-limit", deviceMemoryLimit)]
      .flatMap { flag, limit in limit.map { [flag, "\($0.bytes)"] } ?? [] }
  }
}
