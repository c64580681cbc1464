import CPUBackend
import TensorCore
import TensorOps

/// What a network computes in: the type of its activations, and how its products are made.
struct StagePrecision: Equatable {
  let activations: DType
  var products = ProductPrecision.unrounded

  /// As flags name it.
  var word: String {
    switch products {
    case .unrounded: activations.word
    case .bfloat16: "bf16"
    case .int8: "int8"
    }
  }
}

/// What the networks of a run compute in.
struct StagePrecisions: Equatable {
  var textEncoders: StagePrecision
  var transformer: StagePrecision
  var autoencoder: StagePrecision

  /// What a kind of device can compute in, and does unless told otherwise.
  struct Support {
    let transformer: [StagePrecision]
    /// Of the other networks.
    let others: [StagePrecision]
    let usual: StagePrecisions

    static let cpu: Support = {
      let exact = StagePrecision(activations: .float32)
      return Support(
        transformer: [exact]
          + (CPUBackend.hasBFloat16Products ? [StagePrecision(activations: .float32, products: .bfloat16)] : [])
          + (CPUBackend.hasInt8Products ? [StagePrecision(activations: .float32, products: .int8)] : []),
        others: [exact], usual: StagePrecisions(textEncoders: exact, transformer: exact, autoencoder: exact))
    }()

    /// As HunyuanVideo is published: the transformer was trained in bfloat16 and overflows in float16; encoders and decoder
    /// stay within float16's range, whose numbers are eight times finer.
    static let npu: Support = {
      let (brain, half) = (StagePrecision(activations: .bfloat16), StagePrecision(activations: .float16))
      return Support(
        transformer: [brain, half], others: [brain, half],
        usual: StagePrecisions(textEncoders: half, transformer: brain, autoencoder: half))
    }()
  }

  /// For saved runs: `bf16, text encoders fp16, autoencoder fp16`.
  var description: String { "\(transformer.word), text encoders \(textEncoders.word), autoencoder \(autoencoder.word)" }
}

extension DType {
  /// As flags name the type of activations.
  var word: String {
    switch self {
    case .bfloat16: "bf16"
    case .float16: "fp16"
    case .float32: "fp32"
    default: rawValue
    }
  }
}
