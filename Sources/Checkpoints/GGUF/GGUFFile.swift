import TensorCore

/// A GGUF file (versions 2 and 3, little-endian), mapped into memory. Tensors are views of the file in their stored
/// format; extents, which the format has innermost first, are given outermost first.
public struct GGUFFile: CheckpointFile {
  public let path: String
  /// In the order of the data.
  public let tensors: [CheckpointTensor]
  /// The file's notes as text. Lists of up to 16 numbers are separated by commas; of longer lists, the length is told.
  public let metadata: [String: String]
  /// The size of the file in bytes.
  public let byteCount: Int

  /// Opens a file and checks its directory.
  /// - Throws: `CheckpointError` where it cannot be mapped, its directory lies, or a tensor has a type that is not read.
  public init(path: String) throws(CheckpointError) {
    let file: MappedFile
    do { file = try MappedFile(path: path) } catch { throw CheckpointError(error) }
    var reader = GGUFHeaderReader(file)
    try reader.read()
    self.path = path
    byteCount = file.byteCount
    metadata = reader.metadata
    tensors = reader.entries.map { entry in
      CheckpointTensor(
        name: entry.name, dtype: entry.type.dtype, blocks: entry.type.blocks, shape: entry.shape, file: path,
        storage: file, byteOffset: entry.bytes.lowerBound)
    }
  }
}

/// The element types of GGUF files.
enum GGUFType {
  case plain(DType)
  case blocks(BlockFormat)

  private static let table: [UInt32: GGUFType] = [
    0: .plain(.float32), 1: .plain(.float16), 2: .blocks(.q40), 3: .blocks(.q41), 6: .blocks(.q50),
    7: .blocks(.q51), 8: .blocks(.q80), 10: .blocks(.q2K), 11: .blocks(.q3K), 12: .blocks(.q4K),
    13: .blocks(.q5K), 14: .blocks(.q6K), 20: .blocks(.iq4NL), 23: .blocks(.iq4XS),
    24: .plain(.int8), 25: .plain(.int16), 26: .plain(.int32), 27: .plain(.int64), 28: .plain(.float64),
    30: .plain(.bfloat16),
  ]

  private static let refusedNames: [UInt32: String] = [
    4: "Q4_2", 5: "Q4_3", 9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S",
    21: "IQ3_S", 22: "IQ2_S", 29: "IQ1_M", 31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8", 34: "TQ1_0", 35: "TQ2_0",
    36: "IQ4_NL_4_4", 37: "IQ4_NL_4_8", 38: "IQ4_NL_8_8", 39: "MXFP4", 40: "NVFP4",
  ]

  /// The types that weights are read in, for messages.
  static let names = "F32, F16, BF16, \(BlockFormat.allCases.map(\.description).joined(separator: ", "))"

  /// The type with a number; nil for types that are unknown or not read.
  init?(number: UInt32) {
    guard let type = GGUFType.table[number] else { return nil }
    self = type
  }

  /// The number of a type.
  /// - Precondition: the format has it.
  static func number(of dtype: DType, _ blocks: BlockFormat?) -> UInt32 {
    let entry = table.first { $0.value.blocks == blocks && (blocks != nil || $0.value.dtype == dtype) }
    guard let entry else { preconditionFailure("GGUF: no type for \(dtype)") }
    return entry.key
  }

  /// What a type that is not read is called.
  static func name(of number: UInt32) -> String { refusedNames[number] ?? "type \(number)" }

  var dtype: DType {
    switch self {
    case .plain(let dtype): dtype
    case .blocks: .uint8
    }
  }

  var blocks: BlockFormat? {
    switch self {
    case .plain: nil
    case .blocks(let format): format
    }
  }

  /// Elements that are stored together, and the size of these in bytes.
  var unit: (elementCount: Int, byteCount: Int) {
    switch self {
    case .plain(let dtype): (1, dtype.byteCount)
    case .blocks(let format): (format.elementCount, format.byteCount)
    }
  }
}
