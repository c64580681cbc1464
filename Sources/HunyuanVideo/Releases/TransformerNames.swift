import Checkpoints

// What releases of the transformer call its modules, beside Tencent's own names.

/// diffusers' `HunyuanVideoTransformer3DModel`: projections stored apart, the final layer's halves in the other order.
let diffusersTransformerRules: [KeyRules.Rule] =
  [
    .init("img_in.proj", "x_embedder.proj"),
    .init("txt_in.input_embedder", "context_embedder.proj_in"),
    .init("txt_in.t_embedder.mlp.0", "context_embedder.time_text_embed.timestep_embedder.linear_1"),
    .init("txt_in.t_embedder.mlp.2", "context_embedder.time_text_embed.timestep_embedder.linear_2"),
    .init("txt_in.c_embedder.linear_1", "context_embedder.time_text_embed.text_embedder.linear_1"),
    .init("txt_in.c_embedder.linear_2", "context_embedder.time_text_embed.text_embedder.linear_2"),
    .init("time_in.mlp.0", "time_text_embed.timestep_embedder.linear_1"),
    .init("time_in.mlp.2", "time_text_embed.timestep_embedder.linear_2"),
    .init("vector_in.in_layer", "time_text_embed.text_embedder.linear_1"),
    .init("vector_in.out_layer", "time_text_embed.text_embedder.linear_2"),
    .init("guidance_in.mlp.0", "time_text_embed.guidance_embedder.linear_1"),
    .init("guidance_in.mlp.2", "time_text_embed.guidance_embedder.linear_2"),
    .init("final_layer.linear", "proj_out"),
    .init("final_layer.adaLN_modulation.1", "norm_out.linear", rows: .halvesSwapped),
  ] + diffusersRefinerRules + diffusersDoubleBlockRules + diffusersSingleBlockRules

private let ourRefiner = "txt_in.individual_token_refiner.blocks.#"
private let theirRefiner = "context_embedder.token_refiner.refiner_blocks.#"

private let diffusersRefinerRules: [KeyRules.Rule] = [
  .init("\(ourRefiner).norm1", "\(theirRefiner).norm1"),
  .init(
    "\(ourRefiner).self_attn_qkv", "\(theirRefiner).attn.to_q", "\(theirRefiner).attn.to_k",
    "\(theirRefiner).attn.to_v"),
  .init("\(ourRefiner).self_attn_proj", "\(theirRefiner).attn.to_out.0"),
  .init("\(ourRefiner).norm2", "\(theirRefiner).norm2"),
  .init("\(ourRefiner).mlp.fc1", "\(theirRefiner).ff.net.0.proj"),
  .init("\(ourRefiner).mlp.fc2", "\(theirRefiner).ff.net.2"),
  .init("\(ourRefiner).adaLN_modulation.1", "\(theirRefiner).norm_out.linear"),
]

private let diffusersDoubleBlockRules: [KeyRules.Rule] = [
  .init("double_blocks.#.img_mod.linear", "transformer_blocks.#.norm1.linear"),
  .init("double_blocks.#.txt_mod.linear", "transformer_blocks.#.norm1_context.linear"),
  .init(
    "double_blocks.#.img_attn_qkv", "transformer_blocks.#.attn.to_q", "transformer_blocks.#.attn.to_k",
    "transformer_blocks.#.attn.to_v"),
  .init(
    "double_blocks.#.txt_attn_qkv", "transformer_blocks.#.attn.add_q_proj", "transformer_blocks.#.attn.add_k_proj",
    "transformer_blocks.#.attn.add_v_proj"),
  .init("double_blocks.#.img_attn_q_norm", "transformer_blocks.#.attn.norm_q"),
  .init("double_blocks.#.img_attn_k_norm", "transformer_blocks.#.attn.norm_k"),
  .init("double_blocks.#.txt_attn_q_norm", "transformer_blocks.#.attn.norm_added_q"),
  .init("double_blocks.#.txt_attn_k_norm", "transformer_blocks.#.attn.norm_added_k"),
  .init("double_blocks.#.img_attn_proj", "transformer_blocks.#.attn.to_out.0"),
  .init("double_blocks.#.txt_attn_proj", "transformer_blocks.#.attn.to_add_out"),
  .init("double_blocks.#.img_mlp.fc1", "transformer_blocks.#.ff.net.0.proj"),
  .init("double_blocks.#.img_mlp.fc2", "transformer_blocks.#.ff.net.2"),
  .init("double_blocks.#.txt_mlp.fc1", "transformer_blocks.#.ff_context.net.0.proj"),
  .init("double_blocks.#.txt_mlp.fc2", "transformer_blocks.#.ff_context.net.2"),
]

private let diffusersSingleBlockRules: [KeyRules.Rule] = [
  .init("single_blocks.#.modulation.linear", "single_transformer_blocks.#.norm.linear"),
  .init(
    "single_blocks.#.linear1", "single_transformer_blocks.#.attn.to_q", "single_transformer_blocks.#.attn.to_k",
    "single_transformer_blocks.#.attn.to_v", "single_transformer_blocks.#.proj_mlp"),
  .init("single_blocks.#.linear2", "single_transformer_blocks.#.proj_out"),
  .init("single_blocks.#.q_norm", "single_transformer_blocks.#.attn.norm_q"),
  .init("single_blocks.#.k_norm", "single_transformer_blocks.#.attn.norm_k"),
]

/// ComfyUI's names, like those of Flux; whatever is not here has Tencent's name.
let comfyTransformerRules: [KeyRules.Rule] =
  [
    .init("txt_in.t_embedder.mlp.0", "txt_in.t_embedder.in_layer"),
    .init("txt_in.t_embedder.mlp.2", "txt_in.t_embedder.out_layer"),
    .init("txt_in.c_embedder.linear_1", "txt_in.c_embedder.in_layer"),
    .init("txt_in.c_embedder.linear_2", "txt_in.c_embedder.out_layer"),
    .init("\(ourRefiner).self_attn_qkv", "\(ourRefiner).self_attn.qkv"),
    .init("\(ourRefiner).self_attn_proj", "\(ourRefiner).self_attn.proj"),
    .init("\(ourRefiner).mlp.fc1", "\(ourRefiner).mlp.0"),
    .init("\(ourRefiner).mlp.fc2", "\(ourRefiner).mlp.2"),
    .init("time_in.mlp.0", "time_in.in_layer"),
    .init("time_in.mlp.2", "time_in.out_layer"),
    .init("guidance_in.mlp.0", "guidance_in.in_layer"),
    .init("guidance_in.mlp.2", "guidance_in.out_layer"),
    .init("single_blocks.#.modulation.linear", "single_blocks.#.modulation.lin"),
    .init("single_blocks.#.q_norm.weight", "single_blocks.#.norm.query_norm.scale"),
    .init("single_blocks.#.k_norm.weight", "single_blocks.#.norm.key_norm.scale"),
  ]
  + ["img", "txt"].flatMap { stream -> [KeyRules.Rule] in
    let block = "double_blocks.#.\(stream)"
    return [
      .init("\(block)_mod.linear", "\(block)_mod.lin"),
      .init("\(block)_attn_qkv", "\(block)_attn.qkv"),
      .init("\(block)_attn_q_norm.weight", "\(block)_attn.norm.query_norm.scale"),
      .init("\(block)_attn_k_norm.weight", "\(block)_attn.norm.key_norm.scale"),
      .init("\(block)_attn_proj", "\(block)_attn.proj"),
      .init("\(block)_mlp.fc1", "\(block)_mlp.0"),
      .init("\(block)_mlp.fc2", "\(block)_mlp.2"),
    ]
  }
