/// Names that training tools put around a network's own: whoever saves a wrapped network saves them too.
enum WrapperNames {
  /// Attributes of PyTorch's wrappers: of `torch.compile`, of (fully sharded) data parallelism, of checkpointed activations,
  /// and of Lightning and DeepSpeed. They stand before a whole name or inside it, and no network here has such a part.
  private static let components: Set<Substring> = [
    "module", "_orig_mod", "_fsdp_wrapped_module", "_fpw_module", "_checkpoint_wrapped_module", "_forward_module",
  ]
  /// What stands before averages of weights, where a file holds nothing else.
  private static let averages = ["ema.", "model_ema.", "ema_model."]

  /// A name without wrappers.
  static func bare(_ name: String) -> String {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    guard let last = parts.last, parts.dropLast().contains(where: { components.contains($0) }) else { return name }
    return (parts.dropLast().filter { !components.contains($0) } + [last]).joined(separator: ".")
  }

  /// The tensors under the network's own names.
  /// - Throws: `CheckpointError.sameParameter` for two that become one, or a parameter and its average.
  static func removed(from tensors: [CheckpointTensor]) throws(CheckpointError) -> [CheckpointTensor] {
    let bare = tensors.map { WrapperNames.bare($0.name) }
    let averaged = try averagePrefix(of: bare, tensors)
    if averaged.isEmpty && zip(bare, tensors).allSatisfy({ $0 == $1.name }) { return tensors }
    var stored: [String: CheckpointTensor] = [:]
    var result: [CheckpointTensor] = []
    for (name, tensor) in zip(bare, tensors) {
      let name = String(name.dropFirst(averaged.count))
      // A name that two files hold as it is remains the caller's to find.
      if let other = stored.updateValue(tensor, forKey: name), other.name != tensor.name {
        throw .sameParameter(file: tensor.file, key: name, stored: [other.name, tensor.name])
      }
      result.append(tensor.renamed(name))
    }
    return result
  }

  /// The prefix of averages that all names have; empty where none has one.
  private static func averagePrefix(of names: [String], _ tensors: [CheckpointTensor]) throws(CheckpointError) -> String
  {
    for prefix in averages {
      guard let first = names.firstIndex(where: { $0.hasPrefix(prefix) }) else { continue }
      guard let other = names.firstIndex(where: { !$0.hasPrefix(prefix) }) else { return prefix }
      throw .sameParameter(
        file: tensors[first].file, key: "the network", stored: [tensors[other].name, tensors[first].name])
    }
    return ""
  }
}
