import HunyuanVideo
import TensorCore

// The names and shapes of the networks' parameters; constructing the network checks every one of them.

extension BenchmarkWeights {
  /// A transformer. Blocks of a kind share one block's weights: sixty of the real width would not fit most memories, and
  /// one is already far larger than the caches.
  static func transformer(_ c: TransformerConfiguration, _ format: BenchmarkFormat) -> BenchmarkWeights {
    var weights = BenchmarkWeights(format)
    let (width, hidden) = (c.hiddenSize, c.mlpHiddenSize)
    weights.addLayer("img_in.proj", Shape([width, c.inputChannels] + c.patchSize))
    for name in ["txt_in.t_embedder.mlp", "time_in.mlp"] + (c.hasGuidanceEmbedding ? ["guidance_in.mlp"] : []) {
      weights.addLayer("\(name).0", [width, 256])
      weights.addLayer("\(name).2", [width, width])
    }
    weights.addLayer("txt_in.input_embedder", [width, c.textChannels])
    weights.addLayer("txt_in.c_embedder.linear_1", [width, c.textChannels])
    weights.addLayer("txt_in.c_embedder.linear_2", [width, width])
    weights.addLayer("vector_in.in_layer", [width, c.pooledTextChannels])
    weights.addLayer("vector_in.out_layer", [width, width])
    for index in 0..<c.doubleBlockCount {
      for stream in ["img", "txt"] {
        let layers: [(String, Shape)] = [
          ("mod.linear", [6 * width, width]), ("attn_qkv", [3 * width, width]), ("attn_proj", [width, width]),
          ("mlp.fc1", [hidden, width]), ("mlp.fc2", [width, hidden]),
        ]
        for (layer, shape) in layers {
          weights.addLayer("double_blocks.\(index).\(stream)_\(layer)", shape, sharedAs: "double.\(stream)_\(layer)")
        }
        for norm in ["q", "k"] {
          weights.add("double_blocks.\(index).\(stream)_attn_\(norm)_norm.weight", [c.headDimension])
        }
      }
    }
    for index in 0..<c.singleBlockCount {
      let layers: [(String, Shape)] = [
        ("modulation.linear", [3 * width, width]), ("linear1", [3 * width + hidden, width]),
        ("linear2", [width, width + hidden]),
      ]
      for (layer, shape) in layers {
        weights.addLayer("single_blocks.\(index).\(layer)", shape, sharedAs: "single.\(layer)")
      }
      for norm in ["q", "k"] { weights.add("single_blocks.\(index).\(norm)_norm.weight", [c.headDimension]) }
    }
    weights.addLayer("final_layer.adaLN_modulation.1", [2 * width, width])
    weights.addLayer("final_layer.linear", [c.patchVolume * c.outputChannels, width])
    return weights
  }

  /// The decoder half of the autoencoder.
  static func decoder(_ c: AutoencoderConfiguration, _ format: BenchmarkFormat) -> BenchmarkWeights {
    var weights = BenchmarkWeights(format)
    let channels = Array(c.blockChannels.reversed())
    func addNorm(_ name: String, _ count: Int) {
      weights.add(name + ".weight", [count])
      weights.add(name + ".bias", [count])
    }
    func addResidualBlock(_ name: String, _ inputs: Int, _ outputs: Int) {
      addNorm("\(name).norm1", inputs)
      weights.addLayer("\(name).conv1.conv", [outputs, inputs, 3, 3, 3])
      addNorm("\(name).norm2", outputs)
      weights.addLayer("\(name).conv2.conv", [outputs, outputs, 3, 3, 3])
      if inputs != outputs { weights.addLayer("\(name).conv_shortcut.conv", [outputs, inputs, 1, 1, 1]) }
    }

    weights.addLayer("post_quant_conv", [c.latentChannels, c.latentChannels, 1, 1, 1])
    weights.addLayer("decoder.conv_in.conv", [channels[0], c.latentChannels, 3, 3, 3])
    for index in 0..<2 { addResidualBlock("decoder.mid_block.resnets.\(index)", channels[0], channels[0]) }
    if c.hasMidBlockAttention {
      addNorm("decoder.mid_block.attentions.0.group_norm", channels[0])
      for name in ["to_q", "to_k", "to_v", "to_out.0"] {
        weights.addLayer("decoder.mid_block.attentions.0.\(name)", [channels[0], channels[0]])
      }
    }
    let enlarging = max(c.spatialCompression.trailingZeroBitCount, c.timeCompression.trailingZeroBitCount)
    for (index, outputs) in channels.enumerated() {
      for block in 0...c.layersPerBlock {
        addResidualBlock(
          "decoder.up_blocks.\(index).resnets.\(block)", block == 0 ? channels[max(index - 1, 0)] : outputs, outputs)
      }
      if index < enlarging {
        weights.addLayer("decoder.up_blocks.\(index).upsamplers.0.conv.conv", [outputs, outputs, 3, 3, 3])
      }
    }
    addNorm("decoder.conv_norm_out", channels[channels.count - 1])
    weights.addLayer("decoder.conv_out.conv", [c.outputChannels, channels[channels.count - 1], 3, 3, 3])
    return weights
  }

  /// A language model's embedding table and first layer.
  static func languageModelLayer(_ c: LlamaConfiguration, _ format: BenchmarkFormat) -> BenchmarkWeights {
    var weights = BenchmarkWeights(format)
    let (width, keyWidth) = (c.headCount * c.headDimension, c.keyValueHeadCount * c.headDimension)
    weights.add("embed_tokens.weight", [c.vocabularySize, c.hiddenSize])
    for (name, shape) in [
      ("self_attn.q_proj", [width, c.hiddenSize]), ("self_attn.k_proj", [keyWidth, c.hiddenSize]),
      ("self_attn.v_proj", [keyWidth, c.hiddenSize]), ("self_attn.o_proj", [c.hiddenSize, width]),
      ("mlp.gate_proj", [c.mlpHiddenSize, c.hiddenSize]), ("mlp.up_proj", [c.mlpHiddenSize, c.hiddenSize]),
      ("mlp.down_proj", [c.hiddenSize, c.mlpHiddenSize]),
    ] as [(String, Shape)] {
      weights.addLayer("layers.0.\(name)", shape, bias: false)
    }
    weights.add("layers.0.input_layernorm.weight", [c.hiddenSize])
    weights.add("layers.0.post_attention_layernorm.weight", [c.hiddenSize])
    return weights
  }
}
