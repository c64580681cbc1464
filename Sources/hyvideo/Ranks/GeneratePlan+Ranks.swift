import Generation

// What ranks compare before they begin.

extension GeneratePlan {
  /// What must be the same on all ranks, by the name of its flag. Where files are, and how many threads there are, may differ.
  func sharedSettings(_ command: GenerateCommand) -> [String: String] {
    var settings = [
      "the number of videos": "\(jobs.count)", "the checkpoint's hash": checkpointDigest,
      "--ulysses-degree": "\(sharing.layout.ulysses)", "--ring-degree": "\(sharing.layout.ring)",
      "--use-vae-parallel": "\(sharing.sharesTiles)", "--cfg-parallel": "\(sharing.splitsGuidance)",
      "--no-check": "\(command.running.noCheck)",
      "--measure-fidelity": "\(command.cache.measureFidelity)",
      "--checkpoint-every": saveInterval.map { "\($0)" } ?? "automatic",
      "--save-latents": "\(command.output.saveLatents != nil)", "--preview": previewInterval.map { "\($0)" } ?? "none",
      "--resume": resumed.map { "a run after step \($0.run.state.step)" } ?? "none",
    ]
    for (index, job) in jobs.enumerated() {
      settings["--vae-tiling"] = "\(job.request.vaeTiling)"
      for (name, value) in identity(job.request).byFlag where name != "checkpoint_sha256" {
        settings[name + (index > 0 ? " of video \(index)" : "")] = value
      }
    }
    return settings
  }

  /// Takes the names that the first rank has given to its outputs: they may contain the time.
  mutating func adopt(paths: [String]) {
    guard paths.count == jobs.count else { return }
    jobs = zip(jobs, paths).map { GenerateJob(index: $0.index, request: $0.request, path: $1) }
  }
}

extension RunIdentity {
  /// What decides a run's latents, by the names of flags.
  var byFlag: [String: String] {
    // Two of them share a flag.
    let pairs = values.map { name, value in
      ((ResumedFlags.names[name] ?? name) + (["height", "width"].contains(name) ? " (\(name))" : ""), value)
    }
    return Dictionary(pairs) { first, _ in first }
  }
}
