import BackendConformance
import TensorCore
import TensorOps
import TensorTesting
import Testing

@Suite struct ReferenceLinearTests {
  let backend = ReferenceBackend()
  let x = Tensor([1, 2, 3, 4] as [Float], shape: [2, 2])
  let matrix = Weight(name: "matrix", tensor: Tensor([1, 0, 0, 1, 1, -1] as [Float], shape: [3, 2]))

  @Test func `rows of the weight are outputs`() throws {
    let bias = Weight(name: "bias", tensor: Tensor([10, 20, 30] as [Float], shape: [3]))
    let y = try backend.linear([x], weight: matrix, bias: bias, activation: .none)
    #expect(y.shape == [2, 3])
    #expect(y.floats() == [11, 22, 29, 13, 24, 29])
  }

  @Test func `inputs are the parts of a row in list order`() throws {
    let weight = Weight(name: "w", tensor: Tensor([1, 10, 100] as [Float], shape: [1, 3]))
    let last = Tensor([7, 8] as [Float], shape: [2, 1])
    let y = try backend.linear([x, last], weight: weight, bias: nil, activation: .none)
    #expect(y.floats() == [721, 843])
    #expect(try backend.linear([last, x], weight: weight, bias: nil, activation: .none).floats() == [217, 438])
  }

  @Test func `a strided input counts as its elements`() throws {
    let y = try backend.linear([x.permuted([1, 0])], weight: matrix, bias: nil, activation: .none)
    #expect(y.floats() == [1, 3, -2, 2, 4, -2])
  }

  @Test func `every row of a weight has its factor`() throws {
    // e4m3: 0x38 is 1, 0x40 is 2, 0x7E is 448.
    let bytes = Tensor(uninitialized: [2, 2], .float8E4M3)
    bytes.mutableHostPointer.copyMemory(from: [0x38, 0x40, 0x7E, 0x38] as [UInt8], byteCount: 4)
    let unit = Tensor([1, 0, 0, 1] as [Float], shape: [2, 2])
    func product(_ encoding: Weight.Encoding) throws -> [Float] {
      let weight = Weight(name: "w", tensor: bytes, encoding: encoding)
      return try backend.linear([unit], weight: weight, bias: nil, activation: .none).floats()
    }
    #expect(try product(.plain) == [1, 448, 2, 1])
    #expect(try product(.scaled(by: Tensor([0.5] as [Float], shape: [1]))) == [0.5, 224, 1, 0.5])
    #expect(try product(.scaled(by: Tensor([3, 0.25] as [Float], shape: [2]))) == [3, 112, 6, 0.25])
  }

  @Test func `int8 numbers are signed`() throws {
    let bytes = Tensor(uninitialized: [1, 2], .int8)
    bytes.mutableHostPointer.copyMemory(from: [-128, 127] as [Int8], byteCount: 2)
    let weight = Weight(name: "w", tensor: bytes, encoding: .scaled(by: Tensor([0.5] as [Float], shape: [1])))
    let unit = Tensor([1, 0, 0, 1] as [Float], shape: [2, 2])
    #expect(try backend.linear([unit], weight: weight, bias: nil, activation: .none).floats() == [-64, 63.5])
  }

  @Test func `weights that hold no numbers are refused by name`() throws {
    let weight = Weight(name: "blocks.0.fc1.weight", tensor: Tensor([1, 2] as [Int32], shape: [1, 2]))
    let error = #expect(throws: BackendError.self) { try backend.adopt(weight) }
    #expect("\(try #require(error))".contains("blocks.0.fc1.weight"))
    #expect(throws: BackendError.self) { try backend.linear([x], weight: weight, bias: nil, activation: .none) }
  }

  @Test(arguments: [
    (Activation.none, 1.0, 1.0), (.silu, 1, 0.731_058_579), (.silu, -2, -0.238_405_844), (.geluTanh, 1, 0.841_191_991),
    (.geluTanh, -0.5, -0.154_285_988), (.quickGELU, 1, 0.845_795_777), (.quickGELU, -100, 0), (.silu, -1000, 0),
    (.geluTanh, 50, 50),
  ])
  func `activations have their published values`(_ activation: Activation, _ x: Double, _ expected: Double) throws {
    let y = try backend.activate(Tensor([Float(x)], shape: [1]), activation).floats()[0]
    #expect(abs(Double(y) - expected) < 1e-7 * max(1, abs(expected)))
    let unit = Weight(name: "one", tensor: Tensor([1] as [Float], shape: [1, 1]))
    let fused = try backend.linear(
      [Tensor([Float(x)], shape: [1, 1])], weight: unit, bias: nil, activation: activation)
    #expect(fused.floats() == [y])
  }

  @Test func `an embedding is a row of the table`() throws {
    let ids = Tensor([2, 0, 2, 1] as [Int32], shape: [2, 2])
    let y = try backend.embedding(ids, table: matrix)
    #expect(y.shape == [2, 2, 2])
    #expect(y.floats() == [1, -1, 1, 0, 1, -1, 0, 1])
  }

  @Test func `uploading converts and downloading makes dense`() throws {
    let half = WeightFormat.encode([1, -2.5], shape: [2], as: .float16)
    #expect(try backend.upload(half).dtype == .float32)
    #expect(try backend.upload(half).floats() == [1, -2.5])
    let dense = try backend.download(x.permuted([1, 0]))
    #expect(dense.isContiguous)
    #expect(dense.floats() == [1, 3, 2, 4])
  }
}
