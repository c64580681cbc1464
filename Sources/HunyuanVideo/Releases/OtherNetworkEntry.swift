/// A network and what only it is called. Names are those of the programs that publish it: its own first, then diffusers'.
struct OtherNetworkEntry {
  let title: String
  /// Names of which one list is there whole.
  let keys: [[String]]
  /// How names begin of which one is there.
  let beginnings: [String]

  private init(_ title: String, _ keys: [String]..., beginnings: [String] = []) {
    (self.title, self.keys, self.beginnings) = (title, keys, beginnings)
  }

  /// Those that have names of another one come before it.
  static let all = derived + controls + transformers + autoencoders + textEncoders + rest

  /// Networks with HunyuanVideo's names and more.
  private static let derived = [
    OtherNetworkEntry(
      "a HunyuanVideo-1.5 transformer", ["vision_in.proj.0.weight"], ["cond_type_embedding.weight"],
      ["cond_type_embed.weight"], ["image_embedder.norm_in.weight", "context_embedder_2.norm.weight"]),
    OtherNetworkEntry(
      "a HunyuanImage transformer", ["byt5_in.fc1.weight"], ["context_embedder_2.linear_1.weight"]),
    OtherNetworkEntry(
      "a FramePack transformer", ["clean_x_embedder.proj.weight"], ["image_projection.up.weight"]),
    OtherNetworkEntry(
      "a HunyuanVideo-Avatar or HunyuanCustom transformer with sound or edited videos as input",
      beginnings: [
        "audio_proj.", "audio_models.", "audio_adapter_blocks.", "motion_exp.", "motion_pose.", "before_proj.",
        "ref_in.",
        "bg_in.", "bg_proj.",
      ]),
    OtherNetworkEntry(
      "a network for optical flow or video interpolation", beginnings: ["flownet.", "feature_flow_attn."]),
  ]

  private static let transformers = [
    OtherNetworkEntry(
      "a Wan transformer", ["patch_embedding.weight", "text_embedding.0.weight"],
      ["patch_embedding.weight", "condition_embedder.time_embedder.linear_1.weight"]),
    OtherNetworkEntry(
      "a Flux transformer", ["double_blocks.0.img_attn.qkv.weight", "txt_in.weight"],
      ["double_stream_modulation_img.lin.weight"], ["double_stream_modulation_img.linear.weight"],
      ["distilled_guidance_layer.in_proj.weight"],
      ["x_embedder.weight", "context_embedder.weight", "single_transformer_blocks.0.proj_mlp.weight"]),
    OtherNetworkEntry(
      "a Stable Diffusion 3 transformer", ["joint_blocks.0.x_block.attn.qkv.weight"],
      ["pos_embed.proj.weight", "context_embedder.weight", "transformer_blocks.0.attn.add_q_proj.weight"]),
    OtherNetworkEntry(
      "a Qwen-Image transformer", ["transformer_blocks.0.img_mod.1.weight", "txt_norm.weight"]),
    OtherNetworkEntry(
      "an LTX-Video transformer", ["patchify_proj.weight", "adaln_single.linear.weight"],
      ["proj_in.weight", "time_embed.linear.weight", "transformer_blocks.0.scale_shift_table"]),
    OtherNetworkEntry(
      "a CogVideoX transformer", ["mixins.patch_embed.proj.weight"],
      ["patch_embed.proj.weight", "patch_embed.text_proj.weight"]),
    OtherNetworkEntry(
      "a Mochi transformer", ["blocks.0.attn.qkv_x.weight"], ["pos_frequencies", "patch_embed.proj.weight"]),
    OtherNetworkEntry(
      "a HunyuanDiT transformer", ["blocks.0.attn1.Wqkv.weight"],
      ["pos_embed.proj.weight", "text_embedder.linear_1.weight", "text_embedding_padding"]),
    OtherNetworkEntry(
      "a Cosmos transformer", ["x_embedder.proj.1.weight"], ["patch_embed.proj.weight", "time_embed.norm.weight"]),
    OtherNetworkEntry(
      "a PixArt or Sana transformer", ["pos_embed.proj.weight", "adaln_single.linear.weight"],
      ["patch_embed.proj.weight", "caption_projection.linear_1.weight", "time_embed.linear.weight"]),
    OtherNetworkEntry(
      "a Stable Diffusion network", ["input_blocks.0.0.weight", "out.2.weight"],
      ["conv_in.weight", "down_blocks.0.resnets.0.conv1.weight", "conv_norm_out.weight"]),
  ]

  private static let controls = [
    OtherNetworkEntry(
      "a ControlNet", ["input_hint_block.0.weight"], ["zero_convs.0.0.weight"], ["controlnet_x_embedder.weight"],
      ["controlnet_cond_embedding.conv_in.weight"],
      beginnings: ["controlnet_blocks.", "controlnet_down_blocks.", "controlnet_single_blocks."]),
    OtherNetworkEntry("an IP-Adapter", beginnings: ["ip_adapter.", "image_proj."]),
    OtherNetworkEntry("a textual inversion", ["emb_params"], ["string_to_param.*"]),
  ]

  private static let autoencoders = [
    OtherNetworkEntry(
      "a HunyuanVideo-1.5 autoencoder", ["decoder.mid_block.resnets.0.norm1.gamma", "decoder.conv_in.conv.weight"],
      ["decoder.mid.block_1.norm1.gamma"]),
    OtherNetworkEntry(
      "a Wan autoencoder", ["decoder.middle.0.residual.0.gamma"], ["decoder.mid_block.resnets.0.norm1.gamma"]),
    OtherNetworkEntry(
      "a CogVideoX autoencoder", ["decoder.mid_block.resnets.0.norm1.conv_y.conv.weight"]),
    OtherNetworkEntry(
      "an LTX-Video autoencoder", ["per_channel_statistics.mean-of-means"],
      ["decoder.mid_block.resnets.0.conv1.conv.weight", "decoder.up_blocks.0.conv_in.norm3.weight"],
      ["latents_mean", "latents_std", "decoder.conv_in.conv.weight"]),
    OtherNetworkEntry(
      "a Mochi autoencoder", ["decoder.block_in.resnets.0.conv1.conv.weight"], ["decoder.blocks.0.0.weight"]),
    OtherNetworkEntry(
      "a Stable Diffusion or Flux autoencoder", ["decoder.conv_in.weight", "decoder.mid.block_1.norm1.weight"],
      ["decoder.conv_in.weight", "decoder.mid_block.resnets.0.norm1.weight"]),
    OtherNetworkEntry(
      "a tiny autoencoder for previews", ["decoder.1.weight", "decoder.3.conv.0.weight"],
      ["decoder.layers.0.weight", "encoder.layers.0.weight"], ["1.weight", "3.conv.0.weight"]),
  ]

  private static let textEncoders = [
    OtherNetworkEntry(
      "a T5 text encoder", ["encoder.block.0.layer.0.SelfAttention.q.weight"], ["enc.blk.0.attn_q.weight"]),
    OtherNetworkEntry(
      "a Qwen language model", ["visual.blocks.0.attn.qkv.weight"], ["layers.0.self_attn.q_proj.bias"],
      ["layers.0.self_attn.q_norm.weight"], ["blk.0.attn_q.bias"], ["blk.0.attn_q_norm.weight"]),
    OtherNetworkEntry(
      "a Gemma language model", ["layers.0.pre_feedforward_layernorm.weight"], ["blk.0.post_ffw_norm.weight"]),
    OtherNetworkEntry("an OpenCLIP text model", ["resblocks.0.attn.in_proj_weight"]),
    OtherNetworkEntry("a SigLIP picture encoder", ["vision_model.head.probe"], ["head.probe"]),
  ]

  private static let rest = [
    OtherNetworkEntry("the state of an optimizer", beginnings: ["exp_avg", "optimizer.", "optimizer_state"]),
    OtherNetworkEntry("the state of an optimizer", ["state.0.exp_avg"], ["0.exp_avg"]),
  ]
}
