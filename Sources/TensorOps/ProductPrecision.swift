/// What the inputs of linear layers are rounded to before they are multiplied, and of attention for bfloat16. It is apart from the type
/// of activations: everything between two products keeps that.
public enum ProductPrecision: String, Sendable, CaseIterable, Codable {
  /// To nothing: inputs have the type of activations.
  case unrounded
  /// To bfloat16, where a layer's weights are bfloat16 numbers: an approximation, fast where the processor has instructions for it.
  case bfloat16
  /// To 8-bit integers, with a factor for each token, where a layer's weights are such integers with factors: likewise.
  case int8
}
