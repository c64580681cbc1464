import Checkpoints
import TensorCore

/// A parameter of a file that is being written, and what its numbers become.
struct ConvertedParameter {
  let name: String
  let shape: Shape
  let format: StorageFormat

  /// - Parameters:
  ///   - parts: how the parameter is stored.
  ///   - wanted: what the file is to hold; nil keeps types of 16 and 32 bits, and makes of others bf16.
  init(_ name: String, _ shape: Shape, parts: [Weight], wanted: StorageFormat?) {
    self.init(name, shape, wanted: wanted ?? Self.format(keeping: parts))
  }

  /// The format that loses least: that of the widest part.
  private static func format(keeping parts: [Weight]) -> StorageFormat {
    let formats = Set(
      parts.map { part -> StorageFormat in
        switch (part.encoding, part.dtype) {
        case (.plain, .float32), (.plain, .float64): .f32
        case (.plain, .float16): .f16
        default: .bf16
        }
      })
    return formats.count == 1 ? formats.first ?? .bf16 : .f32
  }

  /// - Parameter wanted: what the file is to hold. Formats below 16 bits are for the blocks' matrices, all else is bf16;
  ///   rows that are no whole blocks of 256 numbers become blocks of 32.
  init(_ name: String, _ shape: Shape, wanted: StorageFormat) {
    self.name = name
    self.shape = shape
    let isMatrix =
      shape.rank == 2
      && ["double_blocks.", "single_blocks.", "model.layers.", "text_model.encoder.layers."].contains {
        name.hasPrefix($0)
      }
    func fits(_ format: StorageFormat) -> Bool { format.blocks.map { shape.last % $0.elementCount == 0 } ?? true }
    let isNarrow = wanted.isScaled || wanted.blocks != nil
    if !isNarrow {
      format = wanted
    } else {
      format = isMatrix ? [wanted, .q80].first(where: fits) ?? .bf16 : .bf16
    }
  }

  var byteCount: Int { format.byteCount(of: shape.count) }

  /// What a safetensors file holds for it.
  var entries: [SafetensorsWriter.Entry] {
    let entry = SafetensorsWriter.Entry(name: name, dtype: format.dtype, shape: shape)
    if !format.isScaled { return [entry] }
    let factors: Shape = format == .fp8 ? [1] : [shape[0]]
    return [entry, .init(name: format.scaleKey(for: name), dtype: .float32, shape: factors)]
  }

  /// What a GGUF file holds for it.
  var blockEntry: GGUFWriter.Entry {
    GGUFWriter.Entry(name: name, dtype: format.dtype, blocks: format.blocks, shape: shape)
  }
}
