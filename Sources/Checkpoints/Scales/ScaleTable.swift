import StrictJSON
import TensorCore

/// The factors of a checkpoint's 8-bit weights, under whatever names its release has them: ComfyUI's `scaled_fp8` files,
/// files with a `fp8_scale` marker, and the `_map` file beside Tencent's 8-bit release.
struct ScaleTable: Sendable {
  private enum Factors: Sendable {
    case tensor(CheckpointTensor)
    case number(Float)
  }

  private struct Scale: Sendable {
    let key: String
    let factors: Factors
    /// Tencent's release is made for products in bfloat16.
    let roundsToBFloat16: Bool
  }

  private var scales: [String: Scale] = [:]
  /// What says that 8-bit weights have factors; nil where they are the numbers themselves.
  private var declaration: String?

  /// Names of factors, before which the name of the layer stands.
  private static let suffixes = [".scale_weight", ".weight_scale", ".weight_scale_inv", ".fp8_scale"]
  /// Names of what concerns inputs of layers, which stay as they are here, or describes the others.
  private static let ignoredSuffixes = [".scale_input", ".input_scale", ".comfy_quant"]
  private static let markers = ["scaled_fp8", "fp8_scale"]

  /// Takes the factors and markers from among tensors.
  /// - Returns: The other tensors, in their order.
  mutating func take(from tensors: [CheckpointTensor]) throws(CheckpointError) -> [CheckpointTensor] {
    if !tensors.contains(where: { ScaleTable.isCompanion($0.name) }) { return tensors }
    let weights = tensors.filter { !ScaleTable.isCompanion($0.name) }
    let names = Set(weights.map(\.name))
    for tensor in tensors where ScaleTable.isCompanion(tensor.name) {
      if ScaleTable.isMarker(tensor.name) {
        declaration = "the key \(tensor.name.oneLine)"
      } else if let suffix = ScaleTable.suffixes.first(where: { tensor.name.hasSuffix($0) }) {
        let base = String(tensor.name.dropLast(suffix.count))
        guard let weight = [base + ".weight", base].first(where: names.contains) else {
          throw .malformed(
            file: tensor.file, place: "tensor \(tensor.name.oneLine)",
            expected: "a tensor \(base.oneLine).weight that it belongs to", found: "none")
        }
        declaration = declaration ?? "the key \(tensor.name.oneLine)"
        scales[weight] = Scale(key: tensor.name, factors: .tensor(tensor), roundsToBFloat16: false)
      }
    }
    return weights
  }

  private static func isMarker(_ name: String) -> Bool {
    markers.contains { name == $0 } || name.hasSuffix(".scaled_fp8")
  }

  private static func isCompanion(_ name: String) -> Bool {
    isMarker(name) || suffixes.contains { name.hasSuffix($0) } || ignoredSuffixes.contains { name.hasSuffix($0) }
  }

  /// Takes the factors of a `_map` file: one number for each layer.
  /// - Parameter weights: The names of the weights that they belong to.
  mutating func add(map file: any CheckpointFile, numbers: [String: Double], weights: Set<String>)
    throws(CheckpointError)
  {
    declaration = "the map \(file.path.oneLine)"
    var found: [(name: String, factors: Factors)] = file.tensors.map { ($0.name, .tensor($0)) }
    found += numbers.sorted { $0.key < $1.key }.map { ($0.key, .number(Float($0.value))) }
    for (stored, factors) in found {
      let name = WrapperNames.bare(stored)
      guard weights.contains(name + ".weight") else {
        throw .malformed(
          file: file.path, place: "entry \(name.oneLine)", expected: "the name of a layer of the weights beside it",
          found: "none with this name")
      }
      scales[name + ".weight"] = Scale(key: name, factors: factors, roundsToBFloat16: true)
    }
  }

  /// Says that 8-bit weights have factors, where nothing has said so.
  mutating func declareIfEmpty(_ reason: String) { declaration = declaration ?? reason }

  /// A tensor as a parameter, with its factors.
  func weight(_ tensor: CheckpointTensor) throws(CheckpointError) -> Weight {
    let needsScale = tensor.dtype == .float8E4M3 || tensor.dtype == .float8E5M2 || tensor.dtype == .int8
    guard let scale = scales[tensor.name] else {
      if tensor.dtype == .int8 || needsScale && declaration != nil && tensor.shape.rank >= 2 {
        throw .missingScale(
          file: tensor.file, key: tensor.name, reason: declaration ?? "its type \(tensor.dtype)")
      }
      return tensor.weight
    }
    // A factor of a weight that is not quantized would be applied twice or not at all: no release has one.
    guard needsScale else {
      throw .wrongType(
        file: tensor.file, key: tensor.name, expected: "8-bit numbers, because \(scale.key.oneLine) is their factor",
        found: tensor.dtype)
    }
    let rows = tensor.shape.rank == 0 ? 1 : tensor.shape[0]
    var factors = try values(scale, rows: rows, of: tensor)
    if scale.roundsToBFloat16 { factors = factors.map { Float(BFloat16($0)) } }
    return Weight(
      name: tensor.name, tensor: tensor.tensor,
      encoding: .scaled(
        by: Tensor(factors, shape: [factors.count]), roundsToBFloat16: scale.roundsToBFloat16))
  }

  /// One factor, or one for each row.
  private func values(_ scale: Scale, rows: Int, of weight: CheckpointTensor) throws(CheckpointError) -> [Float] {
    let values: [Float]
    switch scale.factors {
    case .number(let number): values = [number]
    case .tensor(let tensor):
      let perRow = tensor.shape.rank > 0 && tensor.shape[0] == rows && tensor.shape.count == rows
      guard tensor.dtype.isFloatingPoint, tensor.blocks == nil, tensor.shape.count == 1 || perRow else {
        let expected = "one factor, or one for each of \(rows) rows of \(weight.name.oneLine)"
        let found = "\(tensor.typeName)\(tensor.shape)"
        if ScaleTable.divides(tensor.shape, weight.shape) {
          throw .unsupportedQuantization(
            file: tensor.file, key: tensor.name, expected: expected,
            found: "\(found), one for each block of \(weight.shape)")
        }
        throw .malformed(
          file: tensor.file, place: "tensor \(tensor.name.oneLine)", expected: expected, found: found)
      }
      values = tensor.tensor.floats()
    }
    if let bad = values.first(where: { !$0.isFinite }) {
      throw .malformed(
        file: weight.file, place: "factor \(scale.key.oneLine)", expected: "a finite number", found: "\(bad)")
    }
    return values
  }

  /// Whether factors can be those of blocks: of groups of neighbouring numbers, or of rectangles of a matrix.
  private static func divides(_ factors: Shape, _ weight: Shape) -> Bool {
    let axes = factors.dimensions.filter { $0 != 1 }
    guard factors.count > 1, weight.rank >= 2, axes.count <= 2 else { return false }
    if axes.count == 1 { return weight.count % factors.count == 0 }
    return axes[0] <= weight[0] && axes[1] <= weight.count / max(weight[0], 1)
  }
}
