import TensorOps

/// What is guessed of each stage's time, and what of it is worth timing.
///
/// A stage counts for itself, too: hours of decoding are nothing beside weeks of steps, and yet somebody waits for them.
struct TimeGuesses {
  private struct Stage {
    let seconds: Double
    /// By probe.
    let guessed: [PlannedOperation: Double]
    var left: Double
  }

  private var stages: [Stage]
  private let seconds: Double
  private var left: Double
  /// Of all together, and of a stage that takes a while, so much may stay guessed.
  private static let (negligible, negligibleOfStage) = (0.01, 0.05)
  /// A stage's own share weighs so much beside that of the whole, less where it takes less than a second.
  private static let stageWeight = 0.3

  init(_ stages: [(seconds: Double, guessed: [PlannedOperation: Double])]) {
    self.stages = stages.map { Stage(seconds: $0.seconds, guessed: $0.guessed, left: $0.guessed.values.reduce(0, +)) }
    seconds = stages.reduce(0) { $0 + $1.seconds }
    left = self.stages.reduce(0) { $0 + $1.left }
  }

  /// All that is guessed, what weighs most first.
  var byWeight: [PlannedOperation] {
    var weights: [PlannedOperation: (whole: Double, stage: Double)] = [:]
    for stage in stages {
      for (probe, guess) in stage.guessed {
        let own = guess / max(stage.seconds, 1)
        let before = weights[probe] ?? (0, 0)
        weights[probe] = (before.whole + guess / max(seconds, 1e-9), max(before.stage, Self.stageWeight * own))
      }
    }
    return weights.map { (probe: $0.key, weight: max($0.value.whole, $0.value.stage), name: "\($0.key)") }
      .sorted { ($0.weight, $0.name) > ($1.weight, $1.name) }.map(\.probe)
  }

  /// Whether more is guessed than may be, of all or of a stage that has the operation.
  func isWorthTiming(_ probe: PlannedOperation) -> Bool {
    left >= Self.negligible * seconds
      || stages.contains { stage in
        stage.guessed[probe] != nil && stage.seconds > 1 && stage.left >= Self.negligibleOfStage * stage.seconds
      }
  }

  mutating func remove(_ probe: PlannedOperation) {
    for index in stages.indices {
      let guess = stages[index].guessed[probe] ?? 0
      stages[index].left -= guess
      left -= guess
    }
  }
}
