public import TensorCore
import TensorOps

/// A parameter's canonical name and its shape.
public struct ParameterShape: Sendable, Hashable {
  public let name: String
  public let shape: Shape

  init(_ name: String, _ dimensions: Int...) {
    self.name = name
    shape = Shape(dimensions)
  }
}

private func linear(_ name: String, _ outputs: Int, _ inputs: Int, bias: Bool = true) -> [ParameterShape] {
  [ParameterShape("\(name).weight", outputs, inputs)] + (bias ? [ParameterShape("\(name).bias", outputs)] : [])
}

private func norm(_ name: String, _ channels: Int) -> [ParameterShape] {
  [ParameterShape("\(name).weight", channels), ParameterShape("\(name).bias", channels)]
}

extension TransformerConfiguration {
  /// Every parameter of a network of these sizes.
  public var parameters: [ParameterShape] {
    let (c, head, mlp) = (hiddenSize, headDimension, mlpHiddenSize)
    var list = [
      ParameterShape("img_in.proj.weight", c, inputChannels, patchSize[0], patchSize[1], patchSize[2]),
      ParameterShape("img_in.proj.bias", c),
    ]
    list += linear("txt_in.input_embedder", c, textChannels)
    list += linear("txt_in.t_embedder.mlp.0", c, 256) + linear("txt_in.t_embedder.mlp.2", c, c)
    list += linear("txt_in.c_embedder.linear_1", c, textChannels) + linear("txt_in.c_embedder.linear_2", c, c)
    for index in 0..<refinerBlockCount {
      let block = "txt_in.individual_token_refiner.blocks.\(index)"
      list += norm("\(block).norm1", c) + linear("\(block).self_attn_qkv", 3 * c, c)
      list += linear("\(block).self_attn_proj", c, c) + norm("\(block).norm2", c)
      list += linear("\(block).mlp.fc1", mlp, c) + linear("\(block).mlp.fc2", c, mlp)
      list += linear("\(block).adaLN_modulation.1", 2 * c, c)
    }
    list += linear("time_in.mlp.0", c, 256) + linear("time_in.mlp.2", c, c)
    list += linear("vector_in.in_layer", c, pooledTextChannels) + linear("vector_in.out_layer", c, c)
    if hasGuidanceEmbedding { list += linear("guidance_in.mlp.0", c, 256) + linear("guidance_in.mlp.2", c, c) }
    for index in 0..<doubleBlockCount {
      for stream in ["img", "txt"] {
        let block = "double_blocks.\(index).\(stream)"
        list += linear("\(block)_mod.linear", 6 * c, c) + linear("\(block)_attn_qkv", 3 * c, c)
        list += ["q", "k"].map { ParameterShape("\(block)_attn_\($0)_norm.weight", head) }
        list += linear("\(block)_attn_proj", c, c)
        list += linear("\(block)_mlp.fc1", mlp, c) + linear("\(block)_mlp.fc2", c, mlp)
      }
    }
    for index in 0..<singleBlockCount {
      let block = "single_blocks.\(index)"
      list += linear("\(block).linear1", 3 * c + mlp, c) + linear("\(block).linear2", c, c + mlp)
      list += ["q", "k"].map { ParameterShape("\(block).\($0)_norm.weight", head) }
      list += linear("\(block).modulation.linear", 3 * c, c)
    }
    list += linear("final_layer.linear", patchVolume * outputChannels, c)
    return list + linear("final_layer.adaLN_modulation.1", 2 * c, c)
  }
}

extension AutoencoderConfiguration {
  /// Every parameter of an autoencoder of these sizes, the encoder's too.
  public var parameters: [ParameterShape] {
    let last = blockChannels.count - 1
    let top = blockChannels[last]
    var list = convolution("encoder.conv_in.conv", blockChannels[0], outputChannels, 3)
    for (index, channels) in blockChannels.enumerated() {
      let inputs = blockChannels[max(index - 1, 0)]
      for layer in 0..<layersPerBlock {
        list += residual("encoder.down_blocks.\(index).resnets.\(layer)", layer == 0 ? inputs : channels, channels)
      }
      if index < last {
        list += convolution("encoder.down_blocks.\(index).downsamplers.0.conv.conv", channels, channels, 3)
      }
    }
    list += middle("encoder.mid_block", top) + norm("encoder.conv_norm_out", top)
    list += convolution("encoder.conv_out.conv", 2 * latentChannels, top, 3)
    list += convolution("quant_conv", 2 * latentChannels, 2 * latentChannels, 1)
    list += convolution("post_quant_conv", latentChannels, latentChannels, 1)

    list += convolution("decoder.conv_in.conv", top, latentChannels, 3) + middle("decoder.mid_block", top)
    let channels = Array(blockChannels.reversed())
    for index in channels.indices {
      for layer in 0...layersPerBlock {
        let inputs = layer == 0 ? channels[max(index - 1, 0)] : channels[index]
        list += residual("decoder.up_blocks.\(index).resnets.\(layer)", inputs, channels[index])
      }
      if upsampling(afterBlock: index) != .none {
        list += convolution("decoder.up_blocks.\(index).upsamplers.0.conv.conv", channels[index], channels[index], 3)
      }
    }
    list += norm("decoder.conv_norm_out", channels[last])
    return list + convolution("decoder.conv_out.conv", outputChannels, channels[last], 3)
  }

  private func convolution(_ name: String, _ outputs: Int, _ inputs: Int, _ kernel: Int) -> [ParameterShape] {
    [
      ParameterShape("\(name).weight", outputs, inputs, kernel, kernel, kernel),
      ParameterShape("\(name).bias", outputs),
    ]
  }

  private func residual(_ name: String, _ inputs: Int, _ outputs: Int) -> [ParameterShape] {
    norm("\(name).norm1", inputs) + convolution("\(name).conv1.conv", outputs, inputs, 3)
      + norm("\(name).norm2", outputs) + convolution("\(name).conv2.conv", outputs, outputs, 3)
      + (inputs == outputs ? [] : convolution("\(name).conv_shortcut.conv", outputs, inputs, 1))
  }

  private func middle(_ name: String, _ channels: Int) -> [ParameterShape] {
    var list = (0..<2).flatMap { residual("\(name).resnets.\($0)", channels, channels) }
    if hasMidBlockAttention {
      list += norm("\(name).attentions.0.group_norm", channels)
      for part in ["to_q", "to_k", "to_v", "to_out.0"] {
        list += linear("\(name).attentions.0.\(part)", channels, channels)
      }
    }
    return list
  }
}

extension LlamaConfiguration {
  /// Every parameter of a language model of these sizes but the head, which is not used.
  public var parameters: [ParameterShape] {
    let (c, width, keyWidth) = (hiddenSize, headCount * headDimension, keyValueHeadCount * headDimension)
    var list = [ParameterShape("model.embed_tokens.weight", vocabularySize, c)]
    for index in 0..<layerCount {
      let layer = "model.layers.\(index)"
      list += linear("\(layer).self_attn.q_proj", width, c, bias: false)
      list += linear("\(layer).self_attn.k_proj", keyWidth, c, bias: false)
      list += linear("\(layer).self_attn.v_proj", keyWidth, c, bias: false)
      list += linear("\(layer).self_attn.o_proj", c, width, bias: false)
      list += linear("\(layer).mlp.gate_proj", mlpHiddenSize, c, bias: false)
      list += linear("\(layer).mlp.up_proj", mlpHiddenSize, c, bias: false)
      list += linear("\(layer).mlp.down_proj", c, mlpHiddenSize, bias: false)
      list += ["input", "post_attention"].map { ParameterShape("\(layer).\($0)_layernorm.weight", c) }
    }
    return list + [ParameterShape("model.norm.weight", c)]
  }
}

extension CLIPTextConfiguration {
  /// Every parameter of a text model of these sizes.
  public var parameters: [ParameterShape] {
    let c = hiddenSize
    var list = [
      ParameterShape("text_model.embeddings.token_embedding.weight", vocabularySize, c),
      ParameterShape("text_model.embeddings.position_embedding.weight", positionCount, c),
    ]
    for index in 0..<layerCount {
      let layer = "text_model.encoder.layers.\(index)"
      for part in ["q_proj", "k_proj", "v_proj", "out_proj"] { list += linear("\(layer).self_attn.\(part)", c, c) }
      list += norm("\(layer).layer_norm1", c) + norm("\(layer).layer_norm2", c)
      list += linear("\(layer).mlp.fc1", mlpHiddenSize, c) + linear("\(layer).mlp.fc2", c, mlpHiddenSize)
    }
    return list + norm("text_model.final_layer_norm", c)
  }
}
