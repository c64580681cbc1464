/// What a benchmark times.
public enum BenchmarkKind: String, Sendable, CaseIterable {
  /// The processor itself: multiply-adds and memory.
  case peak
  case linear
  case attention
  case doubleBlock = "double-block"
  case singleBlock = "single-block"
  /// The decoder at its real width, tile by tile.
  case vae
  /// One layer of the language model.
  case textEncoder = "text-encoder"
  /// One step of the whole transformer.
  case step

  /// The sizes that a benchmark of this kind has, with what they are where nothing is said.
  public var defaultSizes: [BenchmarkSize: Int] {
    switch self {
    case .peak: [:]
    case .linear: [.tokens: 2304, .width: 3072, .outputs: 12288]
    case .attention: [.tokens: 2048, .textTokens: 256, .width: 3072, .heads: 24]
    case .doubleBlock, .singleBlock: [.tokens: 2048, .textTokens: 256, .width: 3072, .heads: 24]
    case .vae: [.frames: 17, .size: 128]
    case .textEncoder: [.tokens: 351]
    case .step: [.frames: 17, .size: 256, .textTokens: 256, .width: 3072, .heads: 24]
    }
  }

  /// Whether several ranks can do it together.
  public var isShared: Bool { [.doubleBlock, .singleBlock, .step].contains(self) }

  /// How weights are stored where nothing is said: as they are published. Nil where there are none.
  public var defaultFormat: BenchmarkFormat? {
    switch self {
    case .peak, .attention: nil
    case .linear, .doubleBlock, .singleBlock, .step: .bf16
    case .vae, .textEncoder: .f16
    }
  }
}

/// A size that can be chosen.
public enum BenchmarkSize: String, Sendable, CaseIterable {
  /// Rows of a product, or video tokens, or the language model's tokens.
  case tokens
  case textTokens = "text-tokens"
  /// Channels of a token.
  case width
  /// Outputs of a linear layer.
  case outputs
  case heads
  /// Frames of a video, 4n+1.
  case frames
  /// Height and width of a video in pixels.
  case size

  /// The largest value that is taken: beyond it sizes overflow or no machine has the memory.
  var limit: Int {
    switch self {
    case .tokens, .textTokens, .outputs: 1 << 20
    case .width: 1 << 16
    case .heads: 1 << 10
    case .frames: 1 << 12
    case .size: 1 << 13
    }
  }
}

/// What is to be timed, checked.
public struct BenchmarkRequest: Sendable {
  public let kind: BenchmarkKind
  /// Every size that the kind has.
  public let sizes: [BenchmarkSize: Int]
  public let format: BenchmarkFormat?

  /// - Throws: `RequestError` for sizes that the kind does not have or cannot work with.
  public init(_ kind: BenchmarkKind, sizes chosen: [BenchmarkSize: Int], format: BenchmarkFormat?) throws(RequestError)
  {
    self.kind = kind
    for (size, value) in chosen {
      guard kind.defaultSizes[size] != nil else {
        throw RequestError(
          "unused flag", at: "--\(size.rawValue)",
          expected: "one of \(kind.defaultSizes.keys.map { "--" + $0.rawValue }.sorted().joined(separator: ", "))",
          found: "\(value) for \(kind.rawValue)", remedy: "leave it out")
      }
      let least = size == .textTokens && kind == .attention ? 0 : 1
      try BenchmarkRequest.require(
        (least...size.limit).contains(value), size, "\(least) to \(size.limit)", value)
    }
    if format != nil && kind.defaultFormat == nil {
      throw RequestError(
        "unused flag", at: "--dtype", expected: "no weights", found: "a type for \(kind.rawValue)",
        remedy: "leave it out")
    }
    sizes = kind.defaultSizes.merging(chosen) { $1 }
    self.format = format ?? kind.defaultFormat
    if let width = sizes[.width], let heads = sizes[.heads] {
      let head = width / heads
      let isBlock = kind != .attention
      try BenchmarkRequest.require(
        width % heads == 0 && (!isBlock || (head % 16 == 0 && head >= 32)), .heads,
        isBlock ? "heads of a multiple of 16 channels, at least 32" : "a divisor of --width \(width)", heads)
    }
    if let frames = sizes[.frames] { try BenchmarkRequest.require(frames % 4 == 1, .frames, "4n+1", frames) }
    if let size = sizes[.size] { try BenchmarkRequest.require(size % 16 == 0, .size, "a multiple of 16", size) }
  }

  private static func require(
    _ holds: Bool, _ size: BenchmarkSize, _ expected: String, _ found: Int
  ) throws(RequestError) {
    if holds { return }
    throw RequestError(
      "impossible size", at: "--\(size.rawValue)", expected: expected, found: "\(found)",
      remedy: "choose another value")
  }
}
