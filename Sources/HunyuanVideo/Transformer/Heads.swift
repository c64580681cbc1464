import TensorCore

extension Tensor {
  /// A fused projection `[B, L, parts · C]` as `parts` views `[B, L, N, D]`.
  func splitHeads(count: Int, of parts: Int) -> [Tensor] {
    let channels = shape.last / parts
    return (0..<parts).map { part in
      slice(2, part * channels..<(part + 1) * channels)
        .reshaped([shape[0], shape[1], count, channels / count])
    }
  }

  /// Attention's result `[B, L, N, D]` as tokens `[B, L, C]`.
  var joinedHeads: Tensor { reshaped([shape[0], shape[1], shape[2] * shape[3]]) }
}
