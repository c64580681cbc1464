import Checkpoints
import TensorCore

extension LlamaConfiguration {
  /// Takes what the notes of a GGUF file say of a language model, where they say it.
  /// - Throws: `CheckpointError.invalidConfiguration` for notes that are no such numbers.
  mutating func read(notes: [String: String], of file: String) throws(CheckpointError) {
    func number<Value: LosslessStringConvertible>(
      _ key: String, _ expected: String, _ current: Value, isPossible: (Value) -> Bool
    ) throws(CheckpointError) -> Value {
      guard let text = notes["llama.\(key)"] else { return current }
      guard let value = Value(text), isPossible(value) else {
        throw .invalidConfiguration(file: file, key: "llama.\(key)", expected: expected, found: text)
      }
      return value
    }
    func size(_ key: String, _ current: Int) throws(CheckpointError) -> Int {
      try number(key, "a size from 1 to \(ConfigurationReader.largestSize)", current) {
        (1...ConfigurationReader.largestSize).contains($0)
      }
    }
    func factor(_ key: String, _ current: Float) throws(CheckpointError) -> Float {
      try number(key, "a positive number", current) { $0 > 0 && $0.isFinite }
    }
    headCount = try size("attention.head_count", headCount)
    keyValueHeadCount = try size("attention.head_count_kv", keyValueHeadCount)
    headDimension = try size("attention.key_length", max(hiddenSize / headCount, 1))
    normEpsilon = try factor("attention.layer_norm_rms_epsilon", normEpsilon)
    rotaryTheta = try factor("rope.freq_base", rotaryTheta)
    try readScaling(notes, of: file)
    try refuseOthers(notes, of: file)
    if headCount % keyValueHeadCount != 0 || headDimension % 2 != 0 {
      throw .invalidConfiguration(
        file: file, key: "llama.attention.head_count",
        expected: "a multiple of \(keyValueHeadCount) key heads, of an even size",
        found: "\(headCount) heads of \(headDimension)")
    }
  }
}

extension LlamaConfiguration {
  /// Takes the scaling of positions: all by a factor, as far as notes tell it.
  private mutating func readScaling(_ notes: [String: String], of file: String) throws(CheckpointError) {
    let kind = notes["llama.rope.scaling.type"] ?? "none"
    // Before it had kinds of scaling, llama.cpp had this one alone.
    let (key, older) = ("llama.rope.scaling.factor", notes["llama.rope.scale_linear"])
    guard let text = notes[key] ?? older, let factor = Double(text), factor > 0, factor.isFinite else {
      if kind == "none" || kind == "linear" && notes[key] == nil && older == nil { return }
      throw .unsupportedSetting(
        file: file, key: "llama.rope.scaling.type", effect: "positions are scaled by another rule",
        expected: "none or linear", found: kind)
    }
    if kind == "none" && notes[key] != nil && factor != 1 || !["none", "linear"].contains(kind) {
      throw .unsupportedSetting(
        file: file, key: "llama.rope.scaling.type", effect: "positions are scaled by another rule",
        expected: "none or linear", found: kind)
    }
    if factor != 1 { rotaryScaling = .linear(factor: factor) }
  }

  /// Refuses notes that say something else than the tensors, and those that nobody knows.
  private func refuseOthers(_ notes: [String: String], of file: String) throws(CheckpointError) {
    let sizes: [(String, Int)] = [
      ("block_count", layerCount), ("embedding_length", hiddenSize), ("feed_forward_length", mlpHiddenSize),
      ("vocab_size", vocabularySize), ("attention.value_length", headDimension),
      ("rope.dimension_count", headDimension),
    ]
    for (key, size) in sizes {
      if let found = notes["llama.\(key)"], found != "\(size)" {
        throw .invalidConfiguration(file: file, key: "llama.\(key)", expected: "\(size)", found: found)
      }
    }
    let read = [
      "attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.layer_norm_rms_epsilon",
      "rope.freq_base", "rope.scaling.type", "rope.scaling.factor", "rope.scale_linear",
    ]
    // Of training, or of rules of scaling that are refused above.
    let inert = [
      "context_length", "rope.scaling.original_context_length", "rope.scaling.finetuned", "tensor_data_layout",
      "attention.causal",
    ]
    let known = Set((read + inert + sizes.map(\.0)).map { "llama.\($0)" })
    let unknown = notes.keys.filter { $0.hasPrefix("llama.") && !known.contains($0) }.sorted()
    guard let first = unknown.first else { return }
    throw .unknownSettings(
      file: file, key: first, found: notes[first] ?? "null", others: Array(unknown.dropFirst()))
  }
}
