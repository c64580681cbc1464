/// Quantized formats of other tools, known by names that only they give. They are whole files in a form that is not read.
enum ForeignQuantization {
  /// - Throws: `CheckpointError.unsupportedQuantization` where tensors are of such a format.
  static func refuse(_ tensors: [CheckpointTensor]) throws(CheckpointError) {
    let names = Set(tensors.map(\.name))
    for tensor in tensors {
      guard let format = format(of: tensor.name, among: names) else { continue }
      throw .unsupportedQuantization(
        file: tensor.file, key: tensor.name, expected: "weights that are stored as numbers, or as blocks of GGUF",
        found: "weights of \(format)")
    }
  }

  private static func format(of name: String, among names: Set<String>) -> String? {
    func ends(_ suffixes: String...) -> String? { suffixes.first { name.hasSuffix($0) } }
    func hasSibling(_ suffix: String, _ others: String...) -> Bool {
      others.contains { names.contains(name.dropLast(suffix.count) + $0) }
    }
    if name.contains(".quant_state.") || ends(".absmax", ".nested_absmax", ".quant_map", ".SCB") != nil {
      return "bitsandbytes"
    }
    if ends(".weight._data", ".weight._scale") != nil { return "quanto" }
    if let suffix = ends(".qweight") {
      if hasSibling(suffix, ".wscales", ".smooth_factor", ".smooth", ".lora_down", ".proj_down") {
        return "nunchaku (SVDQuant)"
      }
      return hasSibling(suffix, ".qzeros", ".g_idx") ? "GPTQ or AWQ" : "GPTQ, AWQ or nunchaku"
    }
    if ends(".qzeros", ".g_idx") != nil { return "GPTQ or AWQ" }
    if ends(".wscales", ".smooth_factor") != nil { return "nunchaku (SVDQuant)" }
    if ends(".weight_scale_2") != nil { return "NVFP4" }
    if let suffix = ends("_blocks"), hasSibling(suffix, "_scales") { return "MXFP4" }
    if name.contains(":qdata") || ends("_weight_qdata", "_weight_int_data") != nil { return "torchao" }
    if ends(".W_q") != nil { return "HQQ" }
    return nil
  }
}
