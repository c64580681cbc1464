import ArgumentParser

/// The flags that bound a run's memory, and what becomes of a run that is beyond.
struct PlanOptions: ParsableArguments {
  @OptionGroup var limits: MemoryOptions
  @Flag(help: "Start a run that is planned not to fit.") var force = false
  @Flag(help: "Say what the run needs, as hyvideo plan does, and make nothing.") var dryRun = false
}
