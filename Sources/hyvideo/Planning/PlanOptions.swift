import ArgumentParser

/// The flags that bound a run's memory.
struct PlanOptions: ParsableArguments {
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
  @Flag(help: "Start a run that is planned not to fit.") var force = false
  @Flag(help: "Say what the run needs, as hyvideo plan does, and make nothing.") var dryRun = false
}
