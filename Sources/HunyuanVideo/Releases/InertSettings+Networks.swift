public import Checkpoints

// Fields of configurations that change no number of a video. Those of the libraries' base classes are in every file.

extension InertSettings {
  /// Of transformers' `PretrainedConfig`.
  public static let ofTransformers = [
    InertSettings(
      [
        "architectures", "auto_map", "finetuning_task", "model_type", "name_or_path", "tokenizer_class",
        "transformers_version",
      ],
      because: "names of classes and versions"),
    InertSettings(["dtype", "torch_dtype", "use_bfloat16"], because: "tensors have their own types"),
    InertSettings(
      ["attention_dropout", "classifier_dropout", "dropout", "embd_pdrop", "hidden_dropout", "initializer_factor"]
        + ["initializer_range", "gradient_checkpointing", "problem_type", "tf_legacy_loss", "xla_device"],
      because: "of training"),
    InertSettings(
      ["attn_implementation", "output_attentions", "output_hidden_states", "return_dict", "torchscript", "use_cache"]
        + ["chunk_size_feed_forward", "transformers.js_config", "use_return_dict", "is_decoder", "is_encoder_decoder"]
        + ["cross_attention_hidden_size", "add_cross_attention", "tie_encoder_decoder"],
      because: "how the library runs the network, not what it computes"),
    InertSettings(
      ["bad_words_ids", "begin_suppress_tokens", "decoder_start_token_id", "diversity_penalty", "do_sample"]
        + ["early_stopping", "encoder_no_repeat_ngram_size", "exponential_decay_length_penalty"]
        + ["forced_bos_token_id", "forced_eos_token_id", "length_penalty", "max_length", "min_length"]
        + ["no_repeat_ngram_size", "num_beam_groups", "num_beams", "num_return_sequences", "output_scores", "prefix"]
        + ["remove_invalid_values", "repetition_penalty", "return_dict_in_generate", "sep_token_id", "suppress_tokens"]
        + ["task_specific_params", "temperature", "top_k", "top_p", "typical_p"],
      because: "of writing text, which is not done"),
    InertSettings(
      ["id2label", "label2id", "num_labels", "tie_word_embeddings", "unsloth_fixed", "unsloth_version"],
      because: "of heads that are not read"),
  ]

  /// Of LLaMA and its relatives.
  static let ofLanguageModels = [
    InertSettings(
      ["bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id"],
      because: "the tokenizer has the tokens; padding is never computed"),
    InertSettings(["max_position_embeddings"], because: "positions are computed, not looked up"),
    InertSettings(["pretraining_tp"], because: "products in slices have the same sums"),
    InertSettings(
      ["max_window_layers"], because: "without a window no layer has one"),
  ]

  /// Of what surrounds a text model that can also look at pictures.
  static let ofPictures = [
    InertSettings(
      ["image_seq_length", "image_token_id", "image_token_index", "ignore_index", "logit_scale_init_value"]
        + [
          "multimodal_projector_bias", "projection_dim", "projector_hidden_act", "vision_config", "vision_config_dict",
        ]
        + ["vision_feature_layer", "vision_feature_select_strategy", "pad_token_id", "bos_token_id", "eos_token_id"]
        + ["vocab_size"],
      because: "pictures are no input; the text model has its own sizes")
  ]

  /// Of diffusers' and Tencent's classes for transformers.
  static let ofDiffusionModels = [
    InertSettings(["attn_mode", "device", "dtype", "torch_dtype"], because: "how the program runs it")
  ]

  /// Of autoencoders.
  static let ofAutoencoders = [
    InertSettings(
      ["double_z", "down_block_types", "in_channels", "use_quant_conv"],
      because: "of the encoding half, which is not read"),
    InertSettings(["force_upcast"], because: "sums are float32 anyway"),
  ]
}
