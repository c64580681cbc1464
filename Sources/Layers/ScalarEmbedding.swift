public import Checkpoints
public import TensorCore
public import TensorOps

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A scalar (timestep or guidance) as sinusoids, then a two-layer network.
///
/// Reference: `hyvideo/modules/embed_layers.py`, `TimestepEmbedder`.
public struct ScalarEmbedding: Sendable {
  /// The number of sinusoids, cosines first.
  private static let frequencies = 256
  private let network: MultiLayerPerceptron

  public init(_ scope: WeightScope, channels: Int) throws(CheckpointError) {
    network = try MultiLayerPerceptron(
      scope["mlp"], names: ("0", "2"), inputs: Self.frequencies, hidden: channels, outputs: channels, activation: .silu)
  }

  /// Vectors `[values, C]` for scalars.
  public func callAsFunction(_ values: [Float], in context: ForwardContext) throws(BackendError) -> Tensor {
    try network(context.backend.upload(Self.sinusoids(of: values)), in: context)
  }

  /// `[cos(s f₀), …, cos(s f₁₂₇), sin(s f₀), …]` with `f_k = 10000^(-k/128)`, one row for each scalar.
  public static func sinusoids(of values: [Float]) -> Tensor {
    let half = frequencies / 2
    var rows: [Float] = []
    rows.reserveCapacity(values.count * frequencies)
    for value in values {
      let angles = (0..<half).map { value * expf(-logf(10_000) * Float($0) / Float(half)) }
      rows += angles.map(cosf)
      rows += angles.map(sinf)
    }
    return Tensor(rows, shape: [values.count, frequencies])
  }
}
