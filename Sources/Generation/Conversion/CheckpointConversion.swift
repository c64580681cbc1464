public import Checkpoints
public import HunyuanVideo
import TensorCore

/// Writes a published network as a safetensors file in Tencent's names, panel by panel: memory does not depend on its size.
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

  private struct Item {
    let name: String
    let shape: Shape
    let format: StorageFormat
  }

  /// Numbers of a panel.
  private static let panelCount = 1 << 22

  private let network: PublishedNetwork
  private let format: StorageFormat

  public init(_ network: PublishedNetwork, format: StorageFormat) {
    self.network = network
    self.format = format
  }

  /// What a parameter is stored as: 8-bit formats are for the blocks' matrices, all else is bf16.
  static func format(_ wanted: StorageFormat, name: String, shape: Shape) -> StorageFormat {
    let isBlock = ["double_blocks.", "single_blocks.", "model.layers.", "text_model.encoder.layers."].contains {
      name.hasPrefix($0)
    }
    return !wanted.isScaled || isBlock && shape.rank == 2 ? wanted : .bf16
  }

  /// What a converted file holds for a parameter.
  static func entries(_ name: String, _ shape: Shape, _ format: StorageFormat) -> [SafetensorsWriter.Entry] {
    let entry = SafetensorsWriter.Entry(name: name, dtype: format.dtype, shape: shape)
    if !format.isScaled { return [entry] }
    let factors: Shape = format == .fp8 ? [1] : [shape[0]]
    return [entry, .init(name: format.scaleKey(for: name), dtype: .float32, shape: factors)]
  }

  /// Converts to a file, which appears when it is whole.
  /// - Parameter progress: Told after each parameter how many bytes of the result are written, of how many.
  /// - Throws: `CheckpointError` where a tensor cannot be read, does not fit the format, or the file cannot be written.
  public func write(to path: String, progress: (Int, Int) -> Void) throws -> [Fidelity] {
    let scope = network.scope()
    var items: [Item] = []
    for name in scope.names {
      guard let shape = scope.shape(of: name), try isWeight(name, scope, shape) else { continue }
      items.append(Item(name: name, shape: shape, format: Self.format(format, name: name, shape: shape)))
    }
    let total = items.reduce(0) { $0 + $1.shape.count * $1.format.dtype.byteCount }
    let writer = try SafetensorsWriter(
      path: path, entries: items.flatMap { Self.entries($0.name, $0.shape, $0.format) }, metadata: ["format": "pt"])
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
      done += item.shape.count * item.format.dtype.byteCount
      progress(done, total)
    }
    try writer.finish()
    return order.compactMap { kinds[$0] }
  }

  /// Whether a tensor holds numbers of the network: older CLIP files have position ids among them.
  private func isWeight(_ name: String, _ scope: WeightScope, _ shape: Shape) throws -> Bool {
    do throws(CheckpointError) { _ = try scope.rowParts(name, shape: shape) } catch {
      if case .wrongType = error { return false }
      throw error
    }
    return true
  }

  private static func kind(_ name: String) -> String {
    name.split(separator: ".").map { $0.allSatisfy(\.isNumber) ? "*" : $0 }.joined(separator: ".")
  }

  private func write(
    _ item: Item, _ parts: [Weight], _ writer: SafetensorsWriter, _ fidelity: inout Fidelity
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
        let bytes = item.format.stored(slice, factor: factor)
        do throws(CheckpointError) {
          try Self.measure(bytes, slice, item, factor: factor, file: network.checkpoint.path, &fidelity)
          try Self.append(bytes, to: item.name, writer)
        } catch { failure = error }
      }
    }
    if let failure { throw failure }
    for part in parts { part.release() }
    if item.format.isScaled {
      try writer.write(item.format.scaleKey(for: item.name), Tensor(factors, shape: [factors.count]))
    }
  }

  private static func append(_ bytes: [UInt8], to name: String, _ writer: SafetensorsWriter) throws(CheckpointError) {
    let result = bytes.withUnsafeBytes { buffer in
      Result { () throws(CheckpointError) in try writer.append(buffer, to: name) }
    }
    try result.get()
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

  /// Adds what a panel lost, and refuses numbers that the format cannot hold.
  private static func measure(
    _ bytes: [UInt8], _ numbers: ArraySlice<Float>, _ item: Item, factor: Float, file: String,
    _ fidelity: inout Fidelity
  ) throws(CheckpointError) {
    let (error, norm) = item.format.squaredError(of: bytes, from: numbers, factor: factor)
    if !error.isFinite {
      throw .unrecognized(
        file: file, expected: "\(item.name) with numbers that \(item.format.rawValue) can hold",
        found: "a number that is not finite or too large")
    }
    fidelity.count += numbers.count
    fidelity.squaredError += error
    fidelity.squaredNorm += norm
  }
}
