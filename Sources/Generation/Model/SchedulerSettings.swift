import Checkpoints

/// What a release's `scheduler_config.json` says of the steps.
struct SchedulerSettings {
  /// The path under a checkpoint's folder.
  static let path = "scheduler/scheduler_config.json"

  let file: String
  /// Nil where the file does not say.
  let shift: Float?
  let reverse: Bool?

  /// Reads the settings of a folder that has them.
  /// - Returns: nil where it has none.
  /// - Throws: `CheckpointError` for steps that are not computed and for fields that nobody knows.
  init?(inFolder root: String) throws(CheckpointError) {
    file = FileSystem.join(root, Self.path)
    guard FileSystem.isFile(file) else { return nil }
    let reader = try ConfigurationReader(contentsOf: file)
    try reader.require(
      "_class_name", isOneOf: ["FlowMatchEulerDiscreteScheduler", "FlowMatchDiscreteScheduler"],
      effect: "steps are made by another rule")
    shift = reader.has("shift") ? Float(try reader.positiveDouble("shift")) : nil
    reverse = reader.has("reverse") ? try reader.bool("reverse") : nil
    try reader.require("num_train_timesteps", isOneOf: [1000], effect: "the network is given other numbers for times")
    try reader.require("solver", isOneOf: ["euler"], effect: "steps are made by another rule")
    for (key, effect) in [
      ("use_dynamic_shifting", "the shift depends on the size of the video"),
      ("use_karras_sigmas", "noise levels follow another rule"),
      ("use_exponential_sigmas", "noise levels follow another rule"),
      ("use_beta_sigmas", "noise levels follow another rule"),
      ("invert_sigmas", "steps run from data to noise"), ("stochastic_sampling", "each step adds noise"),
    ] { try reader.require(key, isOneOf: [false], effect: effect) }
    try reader.require("shift_terminal", isOneOf: [], effect: "the last noise level is moved")
    reader.ignore([
      InertSettings(
        ["base_image_seq_len", "base_shift", "max_image_seq_len", "max_shift", "time_shift_type"],
        because: "of shifts that depend on the size"),
      InertSettings(["n_tokens"], because: "Tencent's scheduler does not read it either"),
    ])
    try reader.finish()
  }
}
