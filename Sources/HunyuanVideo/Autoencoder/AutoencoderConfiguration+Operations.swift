public import TensorCore
import TensorOps

extension AutoencoderConfiguration {
  /// Multiplications and additions of decoding latents `[B, C, F, H, W]` in one piece as the text of the network says, each
  /// counted: convolutions, linear layers and attention. Enlargement is counted at the size after it, although kernels may
  /// need fewer.
  public func decoderOperations(latents: Shape) -> Double {
    var size = ClipSize(frames: latents[2], positions: latents[3] * latents[4])
    let channels = Array(blockChannels.reversed())
    func convolution(_ inputs: Int, _ outputs: Int, kernel: Int = 27) -> Double {
      2 * Double(inputs) * Double(outputs * kernel) * size.count
    }
    func residualBlock(_ inputs: Int, _ outputs: Int) -> Double {
      convolution(inputs, outputs) + convolution(outputs, outputs)
        + (inputs == outputs ? 0 : convolution(inputs, outputs, kernel: 1))
    }

    var total = convolution(latentChannels, latentChannels, kernel: 1) + convolution(latentChannels, channels[0])
    total += 2 * residualBlock(channels[0], channels[0])
    if hasMidBlockAttention {
      // A frame sees itself and those before it.
      let seen = size.count * (Double(size.frames) + 1) / (2 * Double(size.frames))
      total += 4 * convolution(channels[0], channels[0], kernel: 1) + 4 * size.count * seen * Double(channels[0])
    }
    for (index, outputs) in channels.enumerated() {
      total += residualBlock(channels[max(index - 1, 0)], outputs)
      total += Double(layersPerBlock) * residualBlock(outputs, outputs)
      let upsampling = upsampling(afterBlock: index)
      if upsampling != .none {
        if upsampling.time > 1 { size.frames = (size.frames - 1) * upsampling.time + 1 }
        size.positions *= upsampling.space * upsampling.space
        total += convolution(outputs, outputs)
      }
    }
    total += convolution(channels[channels.count - 1], outputChannels)
    return total * Double(latents[0])
  }
}

/// The extent of a clip inside the decoder.
private struct ClipSize {
  var frames: Int
  var positions: Int

  var count: Double { Double(frames) * Double(positions) }
}
