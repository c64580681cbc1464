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
    if headCount % keyValueHeadCount != 0 || headDimension % 2 != 0 {
      throw .invalidConfiguration(
        file: file, key: "llama.attention.head_count",
        expected: "a multiple of \(keyValueHeadCount) key heads, of an even size",
        found: "\(headCount) heads of \(headDimension)")
    }
  }
}
