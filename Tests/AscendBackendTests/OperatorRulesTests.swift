import CAscend
import Testing

/// What operators' documents exclude, each tried on purpose.
@Suite struct OperatorRulesTests {
  /// Phase one of operators on operands that the rules are tried with.
  private final class Operands {
    let bench: EmulatorBench
    private var size: UInt64 = 0
    private var executor: OpaquePointer?

    init() throws { bench = try EmulatorBench() }

    func tensor(
      _ extents: [Int64], _ type: aclDataType = ACL_BF16, strides: [Int64]? = nil, format: aclFormat = ACL_FORMAT_ND,
      elements: Int64? = nil
    ) throws -> OpaquePointer? {
      let count = elements ?? extents.reduce(1, *) * (strides == nil ? 1 : 4)
      // Huge operands are described, not held.
      let memory = try bench.allocate(Int(min(max(count, 1) * 8, 1 << 20)))
      var stored = count
      return try bench.emulator.function("aclCreateTensor", aclCreateTensorFunction.self)(
        extents, UInt64(extents.count), type, strides, 0, format, &stored, 1, memory)
    }

    func list(_ members: [OpaquePointer?]) throws -> OpaquePointer? {
      var members = members
      return try bench.emulator.function("aclCreateTensorList", aclCreateTensorListFunction.self)(
        &members, UInt64(members.count))
    }

    func integers(_ values: [Int64]) throws -> OpaquePointer? {
      try bench.emulator.function("aclCreateIntArray", aclCreateIntArrayFunction.self)(values, UInt64(values.count))
    }

    func scalar(_ value: Float) throws -> OpaquePointer? {
      var value = value
      return try bench.emulator.function("aclCreateScalar", aclCreateScalarFunction.self)(&value, ACL_FLOAT)
    }

    func prepare<Prepare>(
      _ name: String, _ type: Prepare.Type,
      _ body: (Prepare, UnsafeMutablePointer<UInt64>, UnsafeMutablePointer<OpaquePointer?>) throws -> Int32
    ) throws -> Int32 {
      try body(try bench.emulator.function(name + "GetWorkspaceSize", type), &size, &executor)
    }

    // MARK: Operators, correct but for what a case changes

    struct Attention {
      var query: [Int64] = [1, 4, 8, 32]
      var key: [Int64] = [1, 4, 6, 32]
      var out: [Int64]?
      var type = ACL_BF16
      var keyType: aclDataType?
      var strides: [Int64]?
      var keys = 1
      var layout = "BNSD"
      var heads: Int64?
      var keyHeads: Int64?
      var sparseMode: Int64 = 0
      var mask: (extents: [Int64], type: aclDataType)?
      var maskStrides: [Int64]?
      var innerPrecise: Int64 = 0
      var lengths: [Int64]?
      var asksForLogarithms = false
      var logarithms: (extents: [Int64], type: aclDataType)?
    }

    func attend(_ change: (inout Attention) -> Void) throws -> Int32 {
      var a = Attention()
      change(&a)
      let query = try tensor(a.query, a.type, strides: a.strides)
      let keys = try list((0..<a.keys).map { _ in try tensor(a.key, a.keyType ?? a.type) })
      let values = try list([tensor(a.key, a.type)])
      let mask = try a.mask.map { try tensor($0.extents, $0.type, strides: a.maskStrides) } ?? nil
      let lengths = try a.lengths.map { try integers($0) } ?? nil
      let out = try tensor(a.out ?? a.query, a.type)
      let logarithms = try a.logarithms.map { try tensor($0.extents, $0.type) } ?? nil
      var layout = Array(a.layout.utf8CString)
      let name = "aclnnFusedInferAttentionScoreV2"
      return try prepare(name, aclnnFusedInferAttentionScoreV2Function.self) { attend, size, executor in
        attend(
          query, keys, values, nil, mask, nil, lengths, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil,
          nil,
          nil, nil, nil, a.heads ?? a.query[1], 0.5, 2_147_483_647, 2_147_483_647, &layout, a.keyHeads ?? a.key[1],
          a.sparseMode, a.innerPrecise, 0, 0, a.asksForLogarithms, 0, 0, out, logarithms, size, executor)
      }
    }

    func rotate(
      _ x: [Int64], cosines: [Int64]? = nil, mode: Int64 = 1, type: aclDataType = ACL_FLOAT, strides: [Int64]? = nil
    ) throws -> Int32 {
      let table = cosines ?? [1, x[1], 1, x[3]]
      let (input, out) = (try tensor(x), try tensor(x, strides: strides))
      let (cosine, sine) = (try tensor(table, type), try tensor(table, type))
      let name = "aclnnRotaryPositionEmbedding"
      return try prepare(name, aclnnRotaryPositionEmbeddingFunction.self) { rotate, size, executor in
        rotate(input, cosine, sine, mode, out, size, executor)
      }
    }

    func normalize(deviations: [Int64] = [2, 1], _ type: aclDataType = ACL_FLOAT) throws -> Int32 {
      let (x, gamma, out, rest) = try (tensor([2, 16]), tensor([16]), tensor([2, 16]), tensor(deviations, type))
      return try prepare("aclnnRmsNorm", aclnnRmsNormFunction.self) { normalize, size, executor in
        normalize(x, gamma, 1e-6, out, rest, size, executor)
      }
    }

    func groups(_ extents: [Int64], groups: Int64 = 2) throws -> Int32 {
      let (x, out) = try (tensor(extents), tensor(extents))
      let (gamma, beta) = try (tensor([extents[1]]), tensor([extents[1]]))
      let (means, deviations) = try (tensor([extents[0], groups]), tensor([extents[0], groups]))
      return try prepare("aclnnGroupNormSiluV2", aclnnGroupNormSiluV2Function.self) { normalize, size, executor in
        normalize(x, gamma, beta, groups, 1e-6, true, out, means, deviations, size, executor)
      }
    }

    struct Convolution {
      var type = ACL_BF16
      var format = ACL_FORMAT_NCDHW
      var input: [Int64] = [1, 4, 3, 5, 5]
      var weight: [Int64] = [2, 4, 3, 3, 3]
      var out: [Int64] = [1, 2, 1, 3, 3]
      var bias: [Int64] = [2]
      var padding: [Int64] = [0, 0, 0]
      var mathType: Int8 = 0
    }

    func convolve(_ change: (inout Convolution) -> Void) throws -> Int32 {
      var c = Convolution()
      change(&c)
      let input = try tensor(c.input, c.type, format: c.format)
      let weight = try tensor(c.weight, c.type, format: ACL_FORMAT_NCDHW)
      let (bias, out) = (try tensor(c.bias, c.type), try tensor(c.out, c.type, format: ACL_FORMAT_NCDHW))
      let (ones, padding, zeros) = (try integers([1, 1, 1]), try integers(c.padding), try integers([0, 0, 0]))
      return try prepare("aclnnConvolution", aclnnConvolutionFunction.self) { convolve, size, executor in
        convolve(input, weight, bias, ones, padding, ones, false, zeros, 1, out, c.mathType, size, executor)
      }
    }

    func pad(_ amounts: [Int64], out: [Int64]) throws -> Int32 {
      let (x, result, padding) = try (tensor([1, 1, 2, 2, 2]), tensor(out), integers(amounts))
      return try prepare("aclnnReplicationPad3d", aclnnReplicationPad3dFunction.self) { pad, size, executor in
        pad(x, padding, result, size, executor)
      }
    }

    func multiply(
      _ a: [Int64] = [2, 16], _ b: [Int64] = [16, 3], out: [Int64] = [2, 3], type: aclDataType = ACL_BF16,
      mathType: Int8 = 0, factor: Float = 1
    ) throws -> Int32 {
      let (x, y, result) = try (tensor(a), tensor(b, type), tensor(out))
      let (bias, alpha, beta) = (try tensor([out.last ?? 1]), try scalar(factor), try scalar(1))
      return try prepare("aclnnAddmm", aclnnAddmmFunction.self) { multiply, size, executor in
        multiply(bias, x, y, beta, alpha, result, mathType, size, executor)
      }
    }

    func copy(_ extents: [Int64]) throws -> Int32 {
      let (x, out) = try (tensor(extents), tensor(extents))
      return try prepare("aclnnInplaceCopy", aclnnInplaceCopyFunction.self) { copy, size, executor in
        copy(out, x, size, executor)
      }
    }

    /// A row of a table of four, with both phases: indices are read when the operator runs.
    func lookUp(_ index: Int32) throws -> Int32 {
      let memory = try bench.allocate(32)
      var pinned: UnsafeMutableRawPointer?
      _ = try bench.emulator.function("aclrtMallocHost", aclrtMallocHostFunction.self)(&pinned, 4)
      let host = try #require(pinned)
      host.storeBytes(of: index, as: Int32.self)
      _ = try bench.emulator.function("aclrtMemcpyAsync", aclrtMemcpyAsyncFunction.self)(
        memory, 4, host, 4, ACL_MEMCPY_HOST_TO_DEVICE, bench.stream)
      let (table, ids, out) = try (tensor([4, 8]), bench.tensor(memory, 1, type: ACL_INT32), tensor([1, 8]))
      let status = try prepare("aclnnEmbedding", aclnnEmbeddingFunction.self) { embed, size, executor in
        embed(table, ids, out, size, executor)
      }
      let workspace = try bench.allocate(Int(max(size, 1)))
      #expect(try status == 0 && bench.run(executor, workspace, size, as: "aclnnEmbedding") == 0)
      return try bench.synchronize()
    }

    func join(_ count: Int, second: [Int64] = [1, 2]) throws -> Int32 {
      let members = try list((0..<count).map { try tensor($0 == 1 ? second : [1, 2]) })
      let out = try tensor([Int64(count), 2])
      return try prepare("aclnnCat", aclnnCatFunction.self) { join, size, executor in
        join(members, 0, out, size, executor)
      }
    }
  }

  private struct Rule: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let body: @Sendable (Operands) throws -> Int32

    init(_ text: String, _ body: @escaping @Sendable (Operands) throws -> Int32) {
      (testDescription, self.body) = (text, body)
    }
  }

  private static let rules = [
    Rule("D is no multiple of 16") { try $0.attend { ($0.query, $0.key) = ([1, 4, 8, 24], [1, 4, 6, 24]) } },
    Rule("D is no multiple of 16 up to 512") {
      try $0.attend { ($0.query, $0.key) = ([1, 1, 1, 528], [1, 1, 1, 528]) }
    },
    Rule("an extent is too large") { try $0.attend { ($0.query, $0.key) = ([1, 257, 1, 16], [1, 257, 1, 16]) } },
    Rule("not lists of one") { try $0.attend { $0.keys = 2 } },
    Rule("an operand has another type") { try $0.attend { $0.keyType = ACL_FLOAT16 } },
    Rule("operands are not 16-bit") { try $0.attend { $0.type = ACL_FLOAT } },
    Rule("an operand has gaps") { try $0.attend { $0.strides = [1024, 32, 128, 1] } },
    Rule("the layout is not BNSD") { try $0.attend { $0.layout = "BSND" } },
    Rule("numHeads is not query's") { try $0.attend { $0.heads = 2 } },
    Rule("numKeyValueHeads is not key's") { try $0.attend { $0.keyHeads = 2 } },
    Rule("attentionOut is") { try $0.attend { $0.out = [1, 4, 7, 32] } },
    Rule("a sparse mode") { try $0.attend { $0.sparseMode = 2 } },
    Rule("attenMask holds no bytes") { try $0.attend { ($0.mask, $0.innerPrecise) = (([8, 6], ACL_BF16), 2) } },
    Rule("attenMask has a wrong shape") { try $0.attend { ($0.mask, $0.innerPrecise) = (([6, 8], ACL_BOOL), 2) } },
    Rule("attenMask has gaps") {
      try $0.attend { ($0.mask, $0.maskStrides, $0.innerPrecise) = (([8, 6], ACL_BOOL), [8, 1], 2) }
    },
    Rule("which innerPrecise ignores") { try $0.attend { $0.mask = ([8, 6], ACL_BOOL) } },
    Rule("a length is out of range") { try $0.attend { $0.lengths = [7] } },
    Rule("a length is out of range") { try $0.attend { $0.lengths = [0] } },
    Rule("softmaxLse and its flag disagree") { try $0.attend { $0.asksForLogarithms = true } },
    Rule("softmaxLse is [1, 4, 8]") {
      try $0.attend { ($0.asksForLogarithms, $0.logarithms) = (true, ([1, 4, 8], ACL_FLOAT)) }
    },
    Rule("softmaxLse is not float32") {
      try $0.attend { ($0.asksForLogarithms, $0.logarithms) = (true, ([1, 4, 8, 1], ACL_BF16)) }
    },
    Rule("an operand has another type") { try $0.rotate([1, 3, 2, 16]) },
    Rule("cos is [1, 1, 3, 16]") { try $0.rotate([1, 3, 2, 16], cosines: [1, 1, 3, 16], type: ACL_BF16) },
    Rule("B * N is 1000 or more") { try $0.rotate([1, 1, 1000, 2], type: ACL_BF16) },
    Rule("B or N is 1000 or more") { try $0.rotate([1, 1, 1000, 2], mode: 0, type: ACL_BF16) },
    Rule("D is odd or too large") { try $0.rotate([1, 1, 1, 896], type: ACL_BF16) },
    Rule("mode is neither 0 nor 1") { try $0.rotate([1, 1, 1, 16], mode: 2, type: ACL_BF16) },
    Rule("out has gaps") { try $0.rotate([1, 2, 2, 16], type: ACL_BF16, strides: [128, 64, 32, 1]) },
    Rule("rstdOut is not float32") { try $0.normalize(ACL_BF16) },
    Rule("rstdOut is [2]") { try $0.normalize(deviations: [2]) },
    Rule("channels do not divide into groups") { try $0.groups([1, 3, 1, 1, 1]) },
    Rule("self has an empty extent") { try $0.groups([1, 4, 0, 1, 1]) },
    Rule("float32 needs a lower precision") { try $0.convolve { $0.type = ACL_FLOAT } },
    Rule("is not NCDHW") { try $0.convolve { $0.format = ACL_FORMAT_ND } },
    Rule("cubeMathType is not 0") { try $0.convolve { $0.mathType = 1 } },
    Rule("output is") { try $0.convolve { $0.out = [1, 2, 2, 3, 3] } },
    Rule("bias is") { try $0.convolve { $0.bias = [3] } },
    Rule("strides, dilation or padding") { try $0.convolve { $0.padding = [0, 0] } },
    Rule("weight and input differ in channels") { try $0.convolve { $0.input = [1, 3, 3, 5, 5] } },
    Rule("padding reaches the extent") { try $0.pad([0, 0, 0, 0, 2, 0], out: [1, 1, 4, 2, 2]) },
    Rule("padding has not 6 numbers") { try $0.pad([1, 1], out: [1, 1, 2, 2, 4]) },
    Rule("mat2 has another type") { try $0.multiply(type: ACL_FLOAT16) },
    Rule("the inner extents differ") { try $0.multiply([2, 15]) },
    Rule("cubeMathType other than 0") { try $0.multiply(mathType: 1) },
    Rule("factors other than 1") { try $0.multiply(factor: 2) },
    Rule("operands are no matrices") { try $0.multiply([1, 2, 16]) },
    Rule("has more than 8 axes") { try $0.copy([Int64](repeating: 1, count: 9)) },
    Rule("an index is out of range") { try $0.lookUp(4) },
    Rule("an index is out of range") { try $0.lookUp(-1) },
    Rule("a list has 1 to 32 members") { try $0.join(33) },
    Rule("members differ off the axis") { try $0.join(2, second: [1, 3]) },
    Rule("a type that an Atlas A2 does not have") {
      let made = try $0.tensor([1], aclDataType(36))
      #expect(made == nil)
      return 1
    },
    Rule("float32 leaves no doubt about a scalar") {
      var value = 1.0
      let made = try $0.bench.emulator.function("aclCreateScalar", aclCreateScalarFunction.self)(&value, ACL_BF16)
      #expect(made == nil)
      return 1
    },
  ]

  @Test(arguments: rules)
  private func `a call that an operator's document excludes is refused`(_ rule: Rule) throws {
    let operands = try Operands()
    #expect(try rule.body(operands) != 0)
    try operands.bench.expectViolation(rule.testDescription)
  }

  @Test func `the same calls unchanged are taken`() throws {
    let operands = try Operands()
    #expect(try operands.attend { _ in } == 0)
    #expect(try operands.attend { ($0.asksForLogarithms, $0.logarithms) = (true, ([1, 4, 8, 1], ACL_FLOAT)) } == 0)
    #expect(try operands.attend { ($0.mask, $0.innerPrecise) = (([8, 6], ACL_BOOL), 2) } == 0)
    #expect(try operands.rotate([1, 3, 2, 16], type: ACL_BF16) == 0)
    #expect(try operands.normalize() == 0)
    #expect(try operands.groups([1, 4, 2, 1, 1]) == 0)
    #expect(try operands.convolve { _ in } == 0)
    #expect(try operands.pad([1, 1, 1, 1, 1, 0], out: [1, 1, 3, 4, 4]) == 0)
    #expect(try operands.multiply() == 0)
    #expect(try operands.join(32) == 0)
    #expect(try operands.copy([Int64](repeating: 1, count: 8)) == 0)
    #expect(try operands.lookUp(3) == 0)
    #expect(try operands.bench.emulator.violations() == [])
  }
}
