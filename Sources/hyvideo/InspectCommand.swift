import ArgumentParser
import Checkpoints
import Foundation
import Generation
import HunyuanVideo
import StrictJSON
import TensorCore

struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect", abstract: "Shows what a checkpoint folder or file holds, without loading it.",
    discussion: "Example: hyvideo inspect Models/demo")

  @Argument(help: ArgumentHelp("A checkpoint folder, a network's folder or a weight file.", valueName: "path"))
  var path: String
  @Option(help: ArgumentHelp("The key of the weights in a PyTorch file: module, ema, …", valueName: "key"))
  var loadKey: String?
  @Flag(help: "List every tensor.") var tensors = false
  @Flag(help: "Print a JSON array, one object per network.") var json = false

  func run() throws {
    let parts = try RefusedBeforeWork.checking {
      try Self.parts(of: path, loadKey: loadKey) { Console.error("\($0): \($1)\n") }
    }
    if json {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
      encoder.keyEncodingStrategy = .convertToSnakeCase
      try Console.result(
        json: String(
          decoding: encoder.encode(parts.map { CheckpointSummary($0, listsTensors: tensors) }), as: UTF8.self))
      return
    }
    if let shift = Self.shift(of: path), !json { try Console.result(shift) }
    for part in parts {
      let summary = CheckpointSummary(part, listsTensors: tensors)
      try Console.result("\(summary.part): \(summary.architecture)")
      try Console.result("  \(summary.path.printable)")
      let layout = summary.layout.map { "\($0) folder, " } ?? ""
      if let names = summary.naming { try Console.result("  \(layout)names of \(names)") }
      let types = summary.tensorsByType.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
      try Console.result(
        "  \(summary.tensorCount) tensors (\(types.joined(separator: ", "))), "
          + "\(summary.elementCount) elements, \(Self.size(summary.byteCount))")
      for line in part.configuration { try Console.result("  \(line)") }
      if let tokenizer = summary.tokenizer { try Console.result("  tokenizer: \(tokenizer)") }
      for tensor in summary.tensors ?? [] {
        try Console.result("    \(tensor.name.printable): \(tensor.dtype)\(Shape(tensor.shape))")
      }
    }
  }

  /// One network of a checkpoint.
  struct Part {
    let name: String
    let layout: String?
    let checkpoint: Checkpoint
    let network: PublishedNetwork?
    let architecture: String
    let configuration: [String]
    let tokenizer: String?
  }

  /// The networks at a path: those that are in a checkpoint folder, or the one that a folder or file holds.
  /// - Parameter missing: is told of parts that a folder lacks.
  private static func parts(of path: String, loadKey: String?, missing: @escaping (String, any Error) -> Void) throws
    -> [Part]
  {
    guard ModelFolder.isModel(path) else { return [try part("weights", path, loadKey: loadKey)] }
    let locator = try ModelLocator(path, tolerate: { missing("settings", $0) })
    var failure: RequestError?
    let parts = try ModelPart.allCases.compactMap { wanted -> Part? in
      do {
        let weights = try locator.weights(wanted)
        return try part(
          wanted.name, weights, layout: locator.layout?.rawValue,
          tokenizer: tokenizer(of: wanted, weights, locator) { missing("\(wanted.name): tokenizer", $0) },
          loadKey: wanted == .transformer ? loadKey : nil)
      } catch let error as RequestError {
        missing(wanted.name, error)
        failure = failure ?? error
        return nil
      }
    }
    if let failure, parts.isEmpty { throw failure }
    return parts
  }

  /// Where a folder's release says how steps are spread; nil where it does not.
  private static func shift(of path: String) -> String? {
    guard ModelFolder.isModel(path), let defaults = try? ModelLocator(path, tolerate: { _ in }).defaults,
      let source = defaults.flowShiftSource
    else { return nil }
    return "flow shift \(defaults.flowShift), of \(source)"
  }

  /// The folder of an encoder's tokenizer.
  private static func tokenizer(
    of part: ModelPart, _ weights: String, _ locator: ModelLocator, missing: (any Error) -> Void
  ) -> String? {
    do {
      switch part {
      case .textEncoder: return try locator.tokenizer(besideEncoder: weights)
      case .textEncoder2: return try locator.tokenizer2(besideEncoder: weights)
      case .transformer, .autoencoder: return nil
      }
    } catch {
      missing(error)
      return nil
    }
  }

  private static func part(
    _ name: String, _ path: String, layout: String? = nil, tokenizer: String? = nil, loadKey: String? = nil
  ) throws -> Part {
    let checkpoint = try Checkpoint(path: path, loadKey: loadKey)
    let network = NamingScheme(of: checkpoint) == nil ? nil : try PublishedNetwork(checkpoint)
    let tokenizers = ["tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt"].filter {
      FileManager.default.fileExists(atPath: "\(tokenizer ?? path)/\($0)")
    }
    return Part(
      name: name, layout: layout, checkpoint: checkpoint, network: network,
      architecture: network.map { architecture(of: $0) } ?? OtherNetwork(of: checkpoint).map { "\($0.title): not run" }
        ?? "unknown network",
      configuration: try network.map { try sizes(of: $0) } ?? [],
      tokenizer: tokenizers.isEmpty ? nil : tokenizers.joined(separator: ", "))
  }

  private static func architecture(of network: PublishedNetwork) -> String {
    let title = network.names.network.title
    if let variant = network.variant { return "\(title); \(variant.title): not run" }
    guard network.names.network == .transformer else { return title }
    let isDistilled = network.scope().has("guidance_in.mlp.0.weight")
    let name = "\(title), \(isDistilled ? "HYVideo-T/2-cfgdistill (embedded guidance)" : "HYVideo-T/2")"
    return network.suspicion == nil
      ? name : "\(name); named as image-to-video weights are, which its tensors do not tell"
  }

  /// The sizes of a network, written beside it or deduced, in lines; or why they are unknown.
  private static func sizes(of network: PublishedNetwork) throws -> [String] {
    do { return try knownSizes(of: network) } catch { return ["sizes: \(error)"] }
  }

  private static func knownSizes(of network: PublishedNetwork) throws -> [String] {
    switch network.names.network {
    case .transformer:
      let c = try network.transformerConfiguration()
      return [
        "\(c.doubleBlockCount) double and \(c.singleBlockCount) single blocks, width \(c.hiddenSize), "
          + "\(c.headCount) heads of \(c.headDimension)",
        "latents of \(c.inputChannels) channels, velocity of \(c.outputChannels), tokens of "
          + "\(c.patchSize.map(String.init).joined(separator: " x ")) latents",
        "text \(c.textChannels) and \(c.pooledTextChannels) channels",
      ]
    case .autoencoder:
      let c = try network.autoencoderConfiguration()
      return ["channels \(c.blockChannels), \(c.latentChannels) latent, scaling factor \(c.scalingFactor)"]
    case .llama:
      let c = try network.llamaConfiguration()
      return [
        "\(c.layerCount) layers, width \(c.hiddenSize), \(c.headCount) heads over \(c.keyValueHeadCount) key heads, "
          + "vocabulary \(c.vocabularySize)"
      ]
    case .clip:
      let c = try network.clipConfiguration()
      return ["\(c.layerCount) layers, width \(c.hiddenSize), \(c.headCount) heads, vocabulary \(c.vocabularySize)"]
    }
  }

  private static func size(_ bytes: Int) -> String {
    bytes >= 1_000_000_000
      ? String(format: "%.2f GB", Double(bytes) / 1e9) : String(format: "%.2f MB", Double(bytes) / 1e6)
  }
}

/// A network as `--json` prints it.
private struct CheckpointSummary: Encodable {
  struct TensorSummary: Encodable {
    let name: String
    let dtype: String
    let shape: [Int]
  }

  let part: String
  let path: String
  let architecture: String
  let layout: String?
  let naming: String?
  let tensorCount: Int
  let elementCount: Int
  let byteCount: Int
  let tensorsByType: [String: Int]
  let tokenizer: String?
  let tensors: [TensorSummary]?

  init(_ part: InspectCommand.Part, listsTensors: Bool) {
    let checkpoint = part.checkpoint
    self.part = part.name
    path = checkpoint.path
    architecture = part.architecture
    layout = part.layout
    naming = part.network?.names.name
    tensorCount = checkpoint.tensors.count
    elementCount = checkpoint.elementCount
    byteCount = checkpoint.byteCount
    tensorsByType = checkpoint.typeCounts
    tokenizer = part.tokenizer
    tensors =
      listsTensors
      ? checkpoint.tensors.map {
        TensorSummary(name: $0.name, dtype: $0.typeName, shape: $0.shape.dimensions)
      } : nil
  }
}
