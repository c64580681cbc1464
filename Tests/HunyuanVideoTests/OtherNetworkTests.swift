import Checkpoints
import HunyuanVideo
import StrictJSON
import TensorCore
import TensorTesting
import Testing

/// What is not HunyuanVideo text to video is called by its name.
@Suite struct OtherNetworkTests {
  private func checkpoint(_ names: [String]) -> Checkpoint {
    Checkpoint(names.map { (name: $0, tensor: Tensor(repeating: 0, shape: [2])) })
  }

  /// A class of diffusers or transformers, and a word of what it is called.
  static let classes = [
    ("HunyuanVideo15Transformer3DModel", "HunyuanVideo-1.5"), ("HunyuanVideoFramepackTransformer3DModel", "FramePack"),
    ("HunyuanImageTransformer2DModel", "HunyuanImage"), ("WanTransformer3DModel", "Wan"),
    ("FluxTransformer2DModel", "Flux"),
    ("Flux2Transformer2DModel", "Flux"), ("SD3Transformer2DModel", "Stable Diffusion 3"),
    ("QwenImageTransformer2DModel", "Qwen-Image"), ("LTXVideoTransformer3DModel", "LTX"),
    ("CogVideoXTransformer3DModel", "CogVideoX"), ("MochiTransformer3DModel", "Mochi"),
    ("HunyuanDiT2DModel", "HunyuanDiT"),
    ("UNet2DConditionModel", "Stable Diffusion"), ("CosmosTransformer3DModel", "Cosmos"),
    ("PixArtTransformer2DModel", "PixArt"), ("ControlNetModel", "ControlNet"), ("FluxControlNetModel", "ControlNet"),
    ("AutoencoderKL", "Stable Diffusion or Flux autoencoder"), ("AutoencoderKLWan", "Wan autoencoder"),
    ("AutoencoderKLCogVideoX", "CogVideoX"), ("AutoencoderKLLTXVideo", "LTX"), ("AutoencoderKLMochi", "Mochi"),
    ("AutoencoderKLHunyuanVideo15", "HunyuanVideo-1.5 autoencoder"), ("AutoencoderTiny", "tiny autoencoder"),
    ("T5EncoderModel", "T5"), ("Qwen2ForCausalLM", "Qwen"), ("Qwen3ForCausalLM", "Qwen"),
    ("Gemma2ForCausalLM", "Gemma"),
    ("SiglipVisionModel", "SigLIP"),
  ]

  @Test(arguments: classes)
  func `the networks of other programs are known by their tensors`(_ name: String, _ word: String) throws {
    let list = try #require(try Goldens.json("settings/other_networks.json")[name].array?.compactMap(\.string))
    let checkpoint = checkpoint(list)
    #expect(
      OtherNetwork(of: checkpoint)?.title.contains(word) == true, "\(OtherNetwork(of: checkpoint)?.title ?? "none")")
    let error = try #require(throws: CheckpointError.self) { try PublishedNetwork(checkpoint) }
    #expect("\(error)".contains(word))
  }

  /// Names that no class of diffusers has.
  static let native: [([String], String)] = [
    (["double_blocks.0.img_attn.qkv.weight", "txt_in.weight", "img_in.weight"], "Flux"),
    (["model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight"], "Stable Diffusion 3"),
    (["model.diffusion_model.input_blocks.0.0.weight", "model.diffusion_model.out.2.weight"], "Stable Diffusion"),
    (["patch_embedding.weight", "text_embedding.0.weight", "blocks.0.self_attn.q.weight"], "Wan"),
    (["blocks.0.attn.qkv_x.weight"], "Mochi"), (["blocks.0.attn1.Wqkv.weight"], "HunyuanDiT"),
    (["decoder.middle.0.residual.0.gamma"], "Wan autoencoder"), (["enc.blk.0.attn_q.weight"], "T5"),
    (["blk.0.attn_q.bias", "token_embd.weight"], "Qwen"), (["control_model.input_hint_block.0.weight"], "ControlNet"),
    (["state.0.exp_avg", "state.0.exp_avg_sq"], "optimizer"),
    (["exp_avg.double_blocks.0.img_mod.linear.weight"], "optimizer"),
    (["vision_in.proj.0.weight", "txt_in.individual_token_refiner.blocks.0.norm1.weight"], "HunyuanVideo-1.5"),
    (["model.diffusion_model.cond_type_embedding.weight"], "HunyuanVideo-1.5"),
    (["audio_proj.proj1.weight", "txt_in.individual_token_refiner.blocks.0.norm1.weight"], "Avatar"),
  ]

  @Test(arguments: native)
  func `names of the publishers' own programs are known too`(_ names: [String], _ word: String) {
    #expect(OtherNetwork(of: checkpoint(names))?.title.contains(word) == true)
  }

  static let adapters = [
    "diffusion_model.double_blocks.0.img_attn_qkv.lora_A.weight", "double_blocks.0.img_attn_qkv.lora_B.default.weight",
    "transformer.transformer_blocks.0.attn.to_q.lora_A.weight",
    "lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight",
    "lora_transformer_single_blocks_0_linear1.alpha", "double_blocks.0.img_mlp.fc1.lora_up.weight",
    "lora_unet_x.hada_w1_a", "lycoris_double_blocks_0_img_mod_linear.lokr_w1",
    "double_blocks.0.img_mod.linear.lokr_w2_b",
    "double_blocks.0.img_mod.linear.dora_scale", "double_blocks.0.img_mod.linear.lora_magnitude_vector",
    "diffusion_model.double_blocks.0.img_mod.linear.diff", "diffusion_model.double_blocks.0.img_mod.linear.diff_b",
    "transformer.blocks.0.attn.to_q.lora.up.weight", "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight",
    "base_model.model.single_blocks.0.linear1.lora_A.weight", "double_blocks.0.img_mod.linear.oft_blocks",
  ]

  @Test(arguments: adapters) func `a LoRA of any family is called a LoRA`(_ name: String) throws {
    let error = try #require(throws: CheckpointError.self) { try PublishedNetwork(checkpoint([name])) }
    #expect("\(error)".contains("a LoRA") && "\(error)".contains("merge it"), "\(error)")
  }

  @Test func `weights with a LoRA beside them are not taken for the whole`() throws {
    let demo = try Checkpoint(
      path: Goldens.repositoryPath(
        "Models/demo/hunyuan-video-t2v-720p/transformers/mp_rank_00_model_states.safetensors"))
    let names = demo.tensors.map(\.name) + ["double_blocks.0.img_mod.linear.lora_A.weight"]
    let error = try #require(throws: CheckpointError.self) { try PublishedNetwork(checkpoint(names)) }
    #expect("\(error)".contains("not merged"), "\(error)")
  }

  @Test(arguments: ["transformer_tencent", "transformer_diffusers", "transformer_comfy", "vae", "llama", "clip"])
  func `the published networks are no others`(_ list: String) throws {
    let names = try #require(try Goldens.json("keys/\(list).json").object).keys
    #expect(OtherNetwork(of: checkpoint(names.sorted())) == nil)
  }

  // MARK: Variants

  /// A transformer of the demo's names with other channels or tokens.
  private func network(inputs: Int = 16, outputs: Int = 16, patch: [Int] = [1, 2, 2], file: String = "memory") throws
    -> PublishedNetwork
  {
    let demo = try Checkpoint(
      path: Goldens.repositoryPath(
        "Models/demo/hunyuan-video-t2v-720p/transformers/mp_rank_00_model_states.safetensors"))
    let volume = patch.reduce(1, *)
    let tensors = demo.tensors.map { stored -> (name: String, tensor: Tensor) in
      switch stored.name {
      case "img_in.proj.weight": (stored.name, Tensor(repeating: 0, shape: Shape([128, inputs] + patch)))
      case "final_layer.linear.weight": (stored.name, Tensor(repeating: 0, shape: [volume * outputs, 128]))
      case "final_layer.linear.bias": (stored.name, Tensor(repeating: 0, shape: [volume * outputs]))
      default: (stored.name, stored.tensor)
      }
    }
    return try PublishedNetwork(Checkpoint(tensors, path: file))
  }

  @Test(arguments: [
    (33, 16, [1, 2, 2], "image-to-video transformer (33 input channels"), (32, 16, [1, 2, 2], "SkyReels"),
    (65, 32, [1, 1, 1], "HunyuanVideo-1.5"), (98, 32, [1, 1, 1], "HunyuanVideo-1.5"),
    (20, 16, [1, 2, 2], "20 input and 16 output channels"), (16, 8, [1, 2, 2], "16 input and 8 output channels"),
    (16, 16, [2, 2, 2], "[2, 2, 2]"), (16, 16, [1, 4, 4], "[1, 4, 4]"),
  ])
  func `a transformer with other channels or tokens is called what it is`(
    _ inputs: Int, _ outputs: Int, _ patch: [Int], _ words: String
  ) throws {
    let network = try network(inputs: inputs, outputs: outputs, patch: patch)
    #expect(network.variant?.title.contains(words) == true, "\(network.variant?.title ?? "none")")
    let error = try #require(throws: CheckpointError.self) { try network.requireSupported() }
    #expect("\(error)".contains(words) && "\(error)".contains("expected a HunyuanVideo transformer for text to video"))
  }

  @Test func `text to video is no variant`() throws {
    #expect(try network().variant == nil)
    #expect(try network(patch: [1, 1, 1]).variant == nil)
    #expect(try network(inputs: 8, outputs: 8).variant == nil)
  }

  @Test func `a network in another's place is refused with the flags of both`() throws {
    let vae = Goldens.repositoryPath("Models/demo/hunyuan-video-t2v-720p/vae/pytorch_model.safetensors")
    let error = try #require(throws: CheckpointError.self) { try PublishedNetwork(path: vae, expecting: .transformer) }
    for word in ["causal 3-D autoencoder", "--vae-path", "--dit-weight"] {
      #expect("\(error)".contains(word), "\(error)")
    }
  }
}
