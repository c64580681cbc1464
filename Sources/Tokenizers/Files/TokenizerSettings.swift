import StrictJSON

/// The fields of `tokenizer_config.json` and `special_tokens_map.json`: each is read, changes no id, or is refused.
enum TokenizerSettings {
  /// Fields whose other values change ids, and the values that do not.
  private static let fixed: [(key: String, values: [JSONValue])] = [
    ("add_eos_token", [.bool(false)]), ("add_prefix_space", [.bool(false)]), ("split_special_tokens", [.bool(false)]),
    ("truncation_side", [.string("right")]),
  ]

  /// Fields that change no id.
  private static let inert: Set<String> = [
    // Names of classes and versions.
    "tokenizer_class", "processor_class", "auto_map", "name_or_path", "backend", "tokenizer_version",
    "transformers_version",
    "model_type",
    // Where the library found the files.
    "special_tokens_map_file", "tokenizer_file", "is_local", "local_files_only", "from_slow", "cache_dir", "revision",
    "token",
    "trust_remote_code", "use_fast", "merges_file", "vocab_file", "subfolder",
    // Of turning ids back into text.
    "clean_up_tokenization_spaces", "spaces_between_special_tokens", "errors",
    // Templates are the program's or those of model.json; nothing is padded.
    "chat_template", "use_default_system_prompt", "padding_side", "pad_to_multiple_of", "pad_token_type_id", "padding",
    "model_input_names", "return_token_type_ids",
    // The last caller's settings; prompts have limits of their own.
    "max_length", "max_len", "stride", "truncation", "truncation_strategy",
    // Of pictures, and of a slow tokenizer that is not used.
    "image_token", "image_token_id", "patch_size", "vision_feature_select_strategy", "num_additional_image_tokens",
    "sp_model_kwargs", "legacy",
    // Ids; the tokens themselves are read.
    "bos_token_id", "eos_token_id", "unk_token_id", "pad_token_id",
    // Tokens without a place in a prompt.
    "cls_token", "sep_token", "mask_token",
  ]

  private static let read: Set<String> = [
    "bos_token", "eos_token", "unk_token", "pad_token", "add_bos_token", "model_max_length", "added_tokens_decoder",
    "additional_special_tokens", "extra_special_tokens", "model_specific_special_tokens", "do_lower_case",
  ]

  /// - Throws: `TokenizerError.unsupported` naming the first field that would change ids, or whose meaning nobody knows.
  static func check(_ object: JSONValue, in file: String) throws(TokenizerError) {
    for (key, values) in fixed where object[key] != .null && !values.contains(object[key]) {
      throw .unsupported(
        "unsupported tokenizer setting", in: file,
        expected: "\(key) \(values.map(\.summary).joined(separator: " or "))", found: object[key].summary)
    }
    let known = inert.union(read).union(fixed.map(\.key))
    let unknown = (object.object ?? [:]).filter {
      $0.value != .null && !$0.key.hasPrefix("_") && !known.contains($0.key)
    }
    guard let first = unknown.keys.min() else { return }
    throw .unknownSetting(first, in: file, found: object[first].kind)
  }

  /// The tokens of a list or table of more special tokens.
  static func tokens(_ object: JSONValue) -> [String] {
    func content(_ value: JSONValue) -> [String] { [value.string ?? value["content"].string].compactMap { $0 } }
    let list = ["additional_special_tokens", "extra_special_tokens", "model_specific_special_tokens"].map { object[$0] }
    return list.flatMap { ($0.array ?? []) + ($0.object.map { Array($0.values) } ?? []) }.flatMap(content)
  }
}

extension TokenizerError {
  /// A field of a configuration that nobody knows.
  fileprivate static func unknownSetting(_ key: String, in file: String, found: String) -> TokenizerError {
    .unsupported(
      Details(
        what: "unknown setting", file: file, expected: "settings whose meaning is known",
        found: "\(quoted(key)): \(found)",
        remedy: "it may change the prompt's tokens: if it does not, remove it from the file"))
  }
}
