public import Checkpoints
import Dispatch
import Foundation
public import HunyuanVideo
import Synchronization
import TensorCore

/// Writes a published network as a safetensors or GGUF file in Tencent's names, panel by panel: memory does not depend on its size.
public struct CheckpointConversion {
  /// How far the numbers of one kind of parameter were moved.
  public struct Fidelity: Sendable {
    /// The name with `*` for block numbers.
    public let kind: String
    public let format: String
    public var count = 0
    var squaredError = 0.0
    var squaredNorm = 0.0

    /// `‖stored - original‖ / ‖original‖`
    public var relativeError: Double { squaredNorm == 0 ? 0 : (squaredError / squaredNorm).squareRoot() }
  }

  /// Numbers of a panel.
  private static let panelCount = 1 << 22

  private let network: PublishedNetwork
  private let format: StorageFormat?
  private let items: [ConvertedParameter]

  /// - Parameter format: nil keeps types of 16 and 32 bits; 8-bit numbers and blocks become bf16.
  /// - Throws: `CheckpointError` where a tensor cannot be read.
  public init(_ network: PublishedNetwork, format: StorageFormat?) throws {
    try network.requireSupported()
    try Self.requireWritable(network)
    self.network = network
    self.format = format
    let scope = network.scope()
    items = try scope.names.compactMap { name in
      guard let shape = scope.shape(of: name), let parts = try Self.weights(name, scope, shape) else { return nil }
      return ConvertedParameter(name, shape, parts: parts, wanted: format)
    }
  }

  /// A configuration that is written has no place for a scaling of positions that is stored as a tensor.
  private static func requireWritable(_ network: PublishedNetwork) throws(CheckpointError) {
    guard network.names.network == .llama, case .each = try network.llamaConfiguration().rotaryScaling else { return }
    throw .unsupportedSetting(
      file: network.checkpoint.path, key: "rope_freqs.weight", effect: "each turn of positions has a scale of its own",
      expected: "none in a file to convert", found: "factors")
  }

  /// How names of files end that hold the format.
  public var suffix: String { format?.blocks == nil ? ".safetensors" : ".gguf" }

  /// The size of the numbers to be written, in bytes.
  public var byteCount: Int { items.reduce(0) { $0 + $1.byteCount } }

  /// Converts to a file, which appears when it is whole.
  /// - Parameter progress: Told after each parameter how many bytes of the result are written, of how many.
  /// - Throws: `CheckpointError` where a tensor cannot be read, does not fit the format, or the file cannot be written.
  public func write(to path: String, progress: (Int, Int) -> Void) throws -> [Fidelity] {
    let (scope, total) = (network.scope(), byteCount)
    let writer = try writer(to: path)
    var kinds: [String: Fidelity] = [:]
    var order: [String] = []
    var done = 0
    for item in items {
      let kind = Self.kind(item.name)
      if kinds[kind] == nil { order.append(kind) }
      var fidelity = kinds[kind] ?? Fidelity(kind: kind, format: item.format.rawValue)
      for part in try scope.rowParts(item.name, shape: item.shape) { part.prefetch() }
      try write(item, scope.rowParts(item.name, shape: item.shape), writer, &fidelity)
      kinds[kind] = fidelity
      done += item.byteCount
      progress(done, total)
    }
    // What is lost reads as zeros.
    try MappedFile.requireIntact()
    try writer.finish()
    return order.compactMap { kinds[$0] }
  }

  private func writer(to path: String) throws(CheckpointError) -> any WeightFileWriter {
    if format?.blocks == nil {
      return try SafetensorsWriter(path: path, entries: items.flatMap(\.entries), metadata: ["format": "pt"])
    }
    let architecture = network.names.network == .transformer ? "hyvid" : network.names.network.rawValue
    return try GGUFWriter(
      path: path, entries: items.map(\.blockEntry),
      notes: [("general.architecture", .text(architecture)), ("general.quantization_version", .number(2))])
  }

  /// A tensor that holds numbers of the network; nil for others: older CLIP files have position ids among them.
  private static func weights(_ name: String, _ scope: WeightScope, _ shape: Shape) throws -> [Weight]? {
    do throws(CheckpointError) { return try scope.rowParts(name, shape: shape) } catch {
      if case .wrongType = error { return nil }
      throw error
    }
  }

  /// Writes `config.json` into the folder of a result, where there is none: the source's own, or what only notes of its file
  /// tell of a language model.
  /// - Throws: Where it cannot be written.
  public func writeConfiguration(inFolder folder: String) throws {
    let target = folder + "/config.json"
    if FileSystem.isFile(target) { return }
    if let source = network.configuration?.file {
      try FileSystem.copyFile(source, to: target)
    } else if network.names.network == .llama, !network.checkpoint.metadata.isEmpty {
      try FileSystem.write(Array(network.llamaConfiguration().fields.utf8), to: target)
    }
  }

  private static func kind(_ name: String) -> String {
    name.split(separator: ".").map { $0.allSatisfy(\.isNumber) ? "*" : $0 }.joined(separator: ".")
  }

  private func write(
    _ item: ConvertedParameter, _ parts: [Weight], _ writer: any WeightFileWriter, _ fidelity: inout Fidelity
  ) throws(CheckpointError) {
    var largest: Float = 0
    var factors: [Float] = []
    if item.format == .fp8 {
      Self.panels(parts) { _, numbers in for number in numbers { largest = max(largest, number.magnitude) } }
      factors = [item.format.factor(largest: largest)]
    }
    var failure: CheckpointError?
    Self.panels(parts) { rows, numbers in
      if failure != nil { return }
      let width = numbers.count / max(rows, 1)
      let groups = item.format == .int8 ? rows : 1
      let size = groups == 1 ? numbers.count : width
      for group in 0..<groups {
        let slice = numbers[group * size..<(group + 1) * size]
        var factor = factors.first ?? 1
        if item.format == .int8 {
          factor = item.format.factor(largest: slice.reduce(0) { max($0, $1.magnitude) })
          factors.append(factor)
        }
        do throws(CheckpointError) {
          let bytes = try encoded(slice, item, factor: factor, &fidelity)
          try writer.append(bytes, to: item.name)
        } catch { failure = error }
      }
    }
    if let failure { throw failure }
    for part in parts { part.release() }
    if item.format.isScaled {
      try writer.append(factors.withUnsafeBytes { Array($0) }, to: item.format.scaleKey(for: item.name))
    }
  }

  /// Hands over the numbers of a parameter, some rows at a time.
  private static func panels(_ parts: [Weight], _ body: (Int, [Float]) -> Void) {
    for part in parts {
      let rows = part.shape.rank == 0 ? 1 : part.shape[0]
      let step = max(1, panelCount / max(part.shape.count / max(rows, 1), 1))
      for start in stride(from: 0, to: rows, by: step) {
        let range = start..<min(start + step, rows)
        body(range.count, part.numbers(ofRows: range))
      }
    }
  }

  /// Numbers beyond this are no weights, and their blocks' factors would not fit half precision.
  private static let largestOfBlocks: Float = 1e6

  /// The bytes of a panel, made on all cores, with what they lost added up.
  /// - Throws: `CheckpointError` for numbers that the format cannot hold.
  private func encoded(
    _ numbers: ArraySlice<Float>, _ item: ConvertedParameter, factor: Float, _ fidelity: inout Fidelity
  ) throws(CheckpointError) -> [UInt8] {
    let format = item.format
    let refusal = CheckpointError.unrecognized(
      file: network.checkpoint.path, expected: "\(item.name) with numbers that \(format.rawValue) can hold",
      found: "a number that is not finite or too large")
    if format.blocks != nil, !numbers.allSatisfy({ $0.magnitude <= Self.largestOfBlocks }) { throw refusal }
    let size = max(1, Self.pieceCount / (format.blocks?.elementCount ?? 1)) * (format.blocks?.elementCount ?? 1)
    let starts = Array(stride(from: numbers.startIndex, to: numbers.endIndex, by: size))
    let pieces = Mutex([Piece?](repeating: nil, count: starts.count))
    DispatchQueue.concurrentPerform(iterations: starts.count) { index in
      let slice = numbers[starts[index]..<min(starts[index] + size, numbers.endIndex)]
      let bytes = format.stored(slice, factor: factor)
      let (error, norm) = format.squaredError(of: bytes, from: slice, factor: factor)
      pieces.withLock { $0[index] = Piece(bytes: bytes, error: error, norm: norm) }
    }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(format.byteCount(of: numbers.count))
    for piece in pieces.withLock({ $0 }).compactMap(\.self) {
      if !piece.error.isFinite { throw refusal }
      bytes += piece.bytes
      fidelity.squaredError += piece.error
      fidelity.squaredNorm += piece.norm
    }
    fidelity.count += numbers.count
    return bytes
  }

  /// Numbers that one core brings into the format at a time.
  private static let pieceCount = 1 << 18

  private struct Piece: Sendable {
    let bytes: [UInt8]
    let error: Double
    let norm: Double
  }
}
