public import Checkpoints

/// A network that people have beside HunyuanVideo's, or in its place: known by name, and not run.
public struct OtherNetwork: Sendable, Hashable {
  /// What it is, with an article: `a LoRA`.
  public let title: String
  /// What its owner can do.
  public let remedy: String

  init(_ title: String, remedy: String = "name a file of HunyuanVideo text to video (docs/checkpoints.md lists them)") {
    self.title = title
    self.remedy = remedy
  }

  /// Recognizes tensors that HunyuanVideo's networks do not have.
  /// - Returns: nil for HunyuanVideo's networks, and for what nobody knows.
  public init?(of checkpoint: Checkpoint) {
    if let adapter = Self.adapter(checkpoint) {
      self = adapter
    } else {
      guard let entry = Self.entry(for: checkpoint) else { return nil }
      self = OtherNetwork(entry.title)
    }
  }

  /// What programs put before the names of one network's tensors.
  private static let prefixes = [
    "", "model.", "model.model.", "model.diffusion_model.", "diffusion_model.", "transformer.", "module.", "net.",
    "_orig_mod.", "vae.", "first_stage_model.", "language_model.", "model.language_model.", "text_model.",
    "control_model.",
  ]

  private static func entry(for checkpoint: Checkpoint) -> OtherNetworkEntry? {
    let used = prefixes.filter { prefix in
      prefix.isEmpty || checkpoint.tensors.contains { $0.name.hasPrefix(prefix) }
    }
    return OtherNetworkEntry.all.first { entry in
      used.contains { prefix in
        entry.keys.contains { $0.allSatisfy { checkpoint[prefix + $0] != nil } }
          || entry.beginnings.contains { beginning in
            checkpoint.tensors.contains { $0.name.hasPrefix(prefix + beginning) }
          }
      }
    }
  }

  // MARK: LoRAs

  /// How components of names begin in files of adapters, and the family's name.
  private static let families = [
    ("lora_unet_", "LoRA"), ("lora_te", "LoRA"), ("lora_transformer_", "LoRA"), ("lycoris_", "LyCORIS"),
    ("hada_", "LoHa"),
    ("lokr_", "LoKr"), ("dora_scale", "DoRA"), ("lora_magnitude_vector", "DoRA"), ("oft_", "OFT"), ("glora", "GLoRA"),
    ("ia3_", "IA3"), ("lora_", "LoRA"),
  ]

  /// A file whose tensors are added to a network's.
  private static func adapter(_ checkpoint: Checkpoint) -> OtherNetwork? {
    var found: String?
    var others = 0
    for tensor in checkpoint.tensors {
      if let family = family(of: tensor.name) { found = found ?? family } else { others += 1 }
    }
    guard let found else { return nil }
    let name = found == "LoRA" ? "a LoRA" : "a LoRA (\(found))"
    let merge =
      "merge it into a transformer with the program that it is for, and name the merged file with --dit-weight"
    // Some keep what they do not change beside it: factors, norms.
    return others > checkpoint.tensors.count / 2
      ? OtherNetwork(
        "weights and \(name) beside them that is not merged", remedy: "save the weights with the LoRA merged")
      : OtherNetwork("\(name), which is only added to a network", remedy: merge)
  }

  private static func family(of name: String) -> String? {
    if name.hasSuffix(".diff") || name.hasSuffix(".diff_b") { return "differences of weights" }
    if name.hasSuffix(".lora.up.weight") || name.hasSuffix(".lora.down.weight") { return "LoRA" }
    // What tells is the first component or one of the last.
    let components = name.split(separator: ".")
    for component in [components.first].compactMap({ $0 }) + components.suffix(3) {
      if let family = families.first(where: { component.hasPrefix($0.0) }) { return family.1 }
    }
    return nil
  }
}
