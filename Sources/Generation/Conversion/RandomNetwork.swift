public import Checkpoints
import Foundation
public import HunyuanVideo
import TensorCore

/// A network of the published sizes with random weights, scaled so that activations neither vanish nor grow: for tests
/// and measurements at full size where the published weights are not at hand.
public enum RandomNetwork: String, Sendable, CaseIterable {
  case hyvideoT2 = "hyvideo-t2"
  case vae
  case llama3 = "llama-3-8b"
  case clipL = "clip-l"

  /// Where Tencent's folder has the network.
  public var path: String {
    switch self {
    case .hyvideoT2: "hunyuan-video-t2v-720p/transformers/mp_rank_00_model_states.safetensors"
    case .vae: "hunyuan-video-t2v-720p/vae/pytorch_model.safetensors"
    case .llama3: "text_encoder/model.safetensors"
    case .clipL: "text_encoder_2/model.safetensors"
    }
  }

  /// Numbers of blocks, for a transformer of the published width and another depth.
  public struct Depth: Sendable {
    public var doubleBlocks: Int
    public var singleBlocks: Int

    public init(doubleBlocks: Int?, singleBlocks: Int?) {
      let published = TransformerConfiguration.hyvideoT2Distilled
      self.doubleBlocks = doubleBlocks ?? published.doubleBlockCount
      self.singleBlocks = singleBlocks ?? published.singleBlockCount
    }
  }

  /// Every parameter of the network.
  /// - Parameter depth: the transformer's, where it is not the published one.
  public func parameters(_ depth: Depth? = nil) -> [ParameterShape] {
    switch self {
    case .hyvideoT2:
      var configuration = TransformerConfiguration.hyvideoT2Distilled
      configuration.doubleBlockCount = depth?.doubleBlocks ?? configuration.doubleBlockCount
      configuration.singleBlockCount = depth?.singleBlocks ?? configuration.singleBlockCount
      return configuration.parameters
    case .vae: return AutoencoderConfiguration.hunyuanVideo.parameters
    case .llama3: return LlamaConfiguration.llama3Of8Billion.parameters
    case .clipL: return CLIPTextConfiguration.clipL.parameters
    }
  }

  /// The size of the network's numbers in a format, in bytes.
  public func byteCount(_ format: StorageFormat, depth: Depth? = nil) -> Int {
    parameters(depth).reduce(0) { $0 + ConvertedParameter($1.name, $1.shape, wanted: format).byteCount }
  }

  /// Random numbers that are drawn; files repeat them, which is as fast as the disk.
  private static let blockCount = 1 << 20

  /// Writes the network into a folder of Tencent's layout. The same numbers each time.
  /// - Parameters:
  ///   - depth: the transformer's, where it is not the published one.
  ///   - progress: Told after each parameter how many bytes are written, of how many.
  /// - Precondition: the format is none of GGUF's.
  /// - Throws: `CheckpointError.unwritable`.
  public func write(
    toFolder folder: String, format wanted: StorageFormat, depth: Depth? = nil, progress: (Int, Int) -> Void
  ) throws {
    let (writer, items) = try begin(toFolder: folder, format: wanted, depth: depth)
    let total = items.reduce(0) { $0 + $1.1.byteCount }
    var generator = TorchGenerator(seed: 0)
    let normals = generator.normals(shape: [Self.blockCount]).floats()
    var blocks: [String: (bytes: [UInt8], factor: Float)] = [:]
    var (done, phase) = (0, 0)
    for (parameter, item) in items {
      let format = item.format
      let (mean, deviation) = Self.distribution(parameter)
      let key = "\(format) \(mean) \(deviation)"
      let block =
        blocks[key]
        ?? {
          let numbers = normals.map { mean + deviation * $0 }
          let factor = format.factor(largest: numbers.reduce(0) { max($0, $1.magnitude) })
          return (format.stored(numbers[...], factor: factor), factor)
        }()
      blocks[key] = block
      // Each parameter starts elsewhere in the block, so that no two are alike.
      phase = (phase &* 31 &+ 7919) % Self.blockCount
      try Self.append(block.bytes, from: phase * format.dtype.byteCount, parameter, format, writer)
      if format.isScaled {
        let count = format == .fp8 ? 1 : parameter.shape[0]
        let factors = [Float](repeating: block.factor, count: count)
        try writer.write(format.scaleKey(for: parameter.name), Tensor(factors, shape: [count]))
      }
      done += parameter.shape.count * format.dtype.byteCount
      progress(done, total)
    }
    try writer.finish()
  }

  /// Writes the file's directory alone, with holes for the weights: enough to plan with, and nearly no space on the disk.
  /// - Precondition: the format is none of GGUF's.
  /// - Throws: `CheckpointError.unwritable`.
  public func writeHoles(toFolder folder: String, format wanted: StorageFormat, depth: Depth? = nil) throws {
    try begin(toFolder: folder, format: wanted, depth: depth).writer.finishWithHoles()
  }

  private func begin(
    toFolder folder: String, format wanted: StorageFormat, depth: Depth?
  ) throws -> (writer: SafetensorsWriter, items: [(ParameterShape, ConvertedParameter)]) {
    precondition(wanted.blocks == nil, "random networks: \(wanted) is no format of safetensors")
    let file = folder + "/" + path
    try FileSystem.makeFolder(FileSystem.folder(of: file))
    let items = parameters(depth).map { ($0, ConvertedParameter($0.name, $0.shape, wanted: wanted)) }
    return (
      try SafetensorsWriter(path: file, entries: items.flatMap(\.1.entries), metadata: ["format": "pt"]), items
    )
  }

  /// Mean and standard deviation of a parameter's numbers.
  private static func distribution(_ parameter: ParameterShape) -> (Float, Float) {
    let isWeight = parameter.name.hasSuffix(".weight")
    if parameter.shape.rank == 1 { return isWeight ? (1, 0.1) : (0, 0.02) }
    if parameter.name.contains("embed_tokens") || parameter.name.contains("_embedding.") { return (0, 0.02) }
    let inputs = parameter.shape.dimensions.dropFirst().reduce(1, *)
    return (0, 0.7 / Float(inputs).squareRoot())
  }

  private static func append(
    _ block: [UInt8], from start: Int, _ parameter: ParameterShape, _ format: StorageFormat, _ writer: SafetensorsWriter
  ) throws(CheckpointError) {
    var (offset, rest) = (start, parameter.shape.count * format.dtype.byteCount)
    while rest > 0 {
      let count = min(rest, block.count - offset)
      let result = block.withUnsafeBytes { bytes in
        Result { () throws(CheckpointError) in
          try writer.append(UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count]), to: parameter.name)
        }
      }
      try result.get()
      (offset, rest) = (0, rest - count)
    }
  }
}
