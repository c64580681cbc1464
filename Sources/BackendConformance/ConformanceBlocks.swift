public import TensorCore
import TensorOps

extension ConformanceCase {
  /// Linear layers and embeddings with weights stored as GGUF blocks.
  public static let storedWeights = BlockFormat.allCases.flatMap { format in
    linearBlocks(format) + [partsOfRows(format), someRows(format), embedding(format)]
  }

  /// Few rows and many, one block to a row and several.
  private static func linearBlocks(_ format: BlockFormat) -> [ConformanceCase] {
    [(1, 1, 33), (3, 2, 17), (9, 3, 48), (70, 1, 50), (257, 2, 16)].map { (rows, blocks, outputs) in
      let inputs = blocks * format.elementCount
      return ConformanceCase("linear [\(rows)], \(inputs) to \(outputs), weight \(format)") { inputsOf in
        let x = try inputsOf.tensor([rows, inputs])
        let weight = try inputsOf.weight([outputs, inputs], format)
        let bias = try inputsOf.weight([outputs], .bfloat16)
        return [try inputsOf.backend.linear([x], weight: weight, bias: bias, activation: .none)]
      }
    }
  }

  /// Parts of a row that end inside blocks.
  private static func partsOfRows(_ format: BlockFormat) -> ConformanceCase {
    ConformanceCase("linear of parts that end inside blocks, weight \(format)") { inputs in
      let total = 2 * format.elementCount
      let x = try [7, total - 20, 13].map { try inputs.slice([2, 30, $0], axis: 2) }
      let weight = try inputs.weight([19, total], format)
      return [
        try inputs.backend.linear(x, weight: weight, bias: nil, activation: .silu),
        try inputs.backend.linear(x.map { $0.slice(1, 2..<3) }, weight: weight, bias: nil, activation: .none),
      ]
    }
  }

  private static func someRows(_ format: BlockFormat) -> ConformanceCase {
    ConformanceCase("linear with some rows of a weight, \(format)") { inputs in
      let x = try inputs.tensor([1, 5, format.elementCount])
      let weight = try inputs.weight([40, format.elementCount], format).rows(7..<30)
      return [try inputs.backend.linear([x], weight: weight, bias: nil, activation: .none)]
    }
  }

  private static func embedding(_ format: BlockFormat) -> ConformanceCase {
    ConformanceCase("embedding, table \(format)") { inputs in
      let ids = inputs.random.ids([2, 5], below: 11)
      return [try inputs.backend.embedding(ids, table: inputs.weight([11, 2 * format.elementCount], format))]
    }
  }
}

extension ConformanceInputs {
  /// A parameter of random blocks in the backend's form.
  public mutating func weight(_ shape: Shape, _ format: BlockFormat) throws -> Weight {
    try backend.adopt(random.weight("weight", shape, format))
  }
}
