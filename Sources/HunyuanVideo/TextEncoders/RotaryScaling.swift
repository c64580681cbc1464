import Checkpoints
import Layers
import TensorOps

/// How a language model slows the turns of positions down. Reference: transformers' `modeling_rope_utils.py`.
public enum RotaryScaling: Sendable, Hashable {
  case none
  /// All turns slower by a factor.
  case linear(factor: Double)
  /// Slow turns slower by a factor, fast ones as they are, those between in parts, as LLaMA 3.1 has it.
  case llama3(factor: Double, lowFactor: Double, highFactor: Double, trainedPositions: Double)
  /// Each turn slower by a factor of its own, as llama.cpp writes them down.
  case each([Float])

  /// What the configuration of a converted checkpoint has.
  var fields: String {
    switch self {
    case .none, .each: ""
    case .linear(let factor): "\n  \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": \(factor)},"
    case .llama3(let factor, let low, let high, let positions):
      "\n  \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": \(factor), \"low_freq_factor\": \(low), "
        + "\"high_freq_factor\": \(high), \"original_max_position_embeddings\": \(positions)},"
    }
  }

  /// Frequencies with the scaling applied.
  func applied(to frequencies: [Float]) -> [Float] {
    switch self {
    case .none: frequencies
    case .linear(let factor): frequencies.map { $0 / Float(factor) }
    case .each(let factors): zip(frequencies, factors).map { $0 / $1 }
    case .llama3(let factor, let low, let high, let positions):
      frequencies.map { frequency in
        let wavelength = 2 * Float.pi / frequency
        if wavelength > Float(positions / low) { return frequency / Float(factor) }
        if wavelength < Float(positions / high) { return frequency }
        let share = (Float(positions) / wavelength - Float(low)) / Float(high - low)
        return (1 - share) * frequency / Float(factor) + share * frequency
      }
    }
  }
}

extension LlamaConfiguration {
  /// How far each pair of channels turns from one position to the next.
  var rotaryFrequencies: [Float] {
    rotaryScaling.applied(to: RotaryTable.frequencies(dimension: headDimension, theta: rotaryTheta))
  }
}

extension ConfigurationReader {
  /// Theta and scaling, from where transformers writes them since its version 5 (`rope_parameters`) or wrote them before.
  /// - Throws: `CheckpointError` where the places contradict each other, or ask for a scaling that is not computed.
  func rotation(
    defaultTheta: Double?, defaultScaling: RotaryScaling?
  ) throws(CheckpointError) -> (theta: Float, scaling: RotaryScaling) {
    let (parameters, older) = (try object("rope_parameters"), try object("rope_scaling"))
    var theta = defaultTheta
    for (place, name) in [(self, ""), (parameters, "rope_parameters."), (older, "rope_scaling.")] {
      guard let place, place.has("rope_theta") else { continue }
      let found = try place.positiveDouble("rope_theta")
      if let theta, theta != defaultTheta {
        try require(name + "rope_theta", theta == found, "\(theta) as elsewhere in the file", "\(found)")
      }
      theta = found
    }
    guard let theta else { return (Float(try positiveDouble("rope_theta")), .none) }
    let scalings = [try parameters?.scaling(of: self), try older?.scaling(of: self)].compactMap { $0 }
    if scalings.count == 2 {
      try require(
        "rope_scaling", scalings[0] == scalings[1], "what rope_parameters says", text(of: "rope_scaling") ?? "null")
    }
    if case .each = defaultScaling, scalings.first == RotaryScaling.none {
      try require("rope_scaling", false, "the scaling that the weights' file has (rope_freqs.weight)", "none")
    }
    try require("partial_rotary_factor", isOneOf: [1], effect: "a part of each head turns")
    return (Float(theta), scalings.first ?? defaultScaling ?? .none)
  }

  /// The scaling that this object is.
  private func scaling(of parent: ConfigurationReader) throws(CheckpointError) -> RotaryScaling {
    let older = try string("type", default: "")
    let kind = try string("rope_type", default: older.isEmpty ? "default" : older)
    try require("type", older.isEmpty || older == kind, kind, older)
    try require("partial_rotary_factor", isOneOf: [1], effect: "a part of each head turns")
    let scaling: RotaryScaling
    switch kind {
    case "default":
      scaling = .none
      try require("factor", isOneOf: [1], effect: "positions are scaled without a rule")
    case "linear": scaling = .linear(factor: try positiveDouble("factor"))
    case "llama3":
      let (low, high) = (try positiveDouble("low_freq_factor"), try positiveDouble("high_freq_factor"))
      try require("high_freq_factor", high > low, "more than low_freq_factor \(low)", "\(high)")
      scaling = .llama3(
        factor: try positiveDouble("factor"), lowFactor: low, highFactor: high,
        trainedPositions: try positiveDouble(
          "original_max_position_embeddings",
          default: parent.has("max_position_embeddings") ? parent.positiveDouble("max_position_embeddings") : nil))
    default:
      try require(
        has("rope_type") ? "rope_type" : "type",
        isOneOf: ["default", "linear", "llama3"], effect: "positions are scaled by another rule")
      scaling = .none
    }
    // Other rules' parameters beside a rule that does not read them.
    let ofOthers = [
      "attention_factor", "beta_fast", "beta_slow", "short_factor", "long_factor", "mscale", "mscale_all_dim",
    ]
    ignore([InertSettings(ofOthers + ["rope_theta"], because: "this rule has no such parameter")])
    if case .llama3 = scaling {
    } else {
      ignore([
        InertSettings(
          ["low_freq_factor", "high_freq_factor", "original_max_position_embeddings"],
          because: "this rule has no such parameter")
      ])
    }
    try finish()
    return scaling
  }
}
