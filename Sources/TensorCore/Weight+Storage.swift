extension Weight {
  /// How elements are stored, in a word: `bfloat16`, `float8E4M3 scaled`, `Q4_K`.
  public var storageName: String {
    switch encoding {
    case .plain: dtype.description
    case .scaled: "\(dtype) scaled"
    case .blocks(let format): format.description
    }
  }
}
