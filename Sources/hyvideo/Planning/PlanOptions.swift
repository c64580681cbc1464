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
  @Flag(help: "Start a run that is planned not to fit.") var force = false
}
