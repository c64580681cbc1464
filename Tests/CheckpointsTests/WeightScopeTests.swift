import Checkpoints
import TensorCore
import TensorTesting
import Testing

private let shapes: KeyValuePairs<String, Shape> = [
  "double_blocks.0.img_mlp.fc1.weight": [8, 4], "double_blocks.0.img_mlp.fc1.bias": [8],
  "double_blocks.0.img_mlp.fc2.weight": [4, 8], "double_blocks.1.img_mlp.fc1.weight": [8, 4],
  "encoder.conv.weight": [2, 2],
]

struct WeightScopeTests {
  private let checkpoint = RandomCheckpoint(shapes, seed: 1).checkpoint

  @Test func `a path of subscripts leads to a parameter`() throws {
    let scope = WeightScope(checkpoint)
    let mlp = scope["double_blocks"][0]["img_mlp"]
    #expect(
      mlp.path == "double_blocks.0.img_mlp" && scope.path == "" && scope["double_blocks.0"]["img_mlp"].path == mlp.path)
    #expect(mlp.has("fc1.weight") && !mlp.has("fc3.weight") && mlp.shape(of: "fc2.weight") == [4, 8])
    let weight = try mlp.weight("fc1.weight", shape: [8, 4])
    #expect(weight.name == "double_blocks.0.img_mlp.fc1.weight" && weight.shape == [8, 4] && weight.dtype == .float32)
    #expect(weight.tensor.floats() == checkpoint["double_blocks.0.img_mlp.fc1.weight"]?.tensor.floats())
    #expect(scope.usedKeys == [weight.name])
  }

  @Test func `a missing key is named with its shape and similar keys`() throws {
    let scope = WeightScope(checkpoint)["double_blocks"][1]["img_mlp"]
    let error = try #require(throws: CheckpointError.self) { try scope.weight("fc1.bias", shape: [8]) }
    guard case .missingKey(let file, let key, let shape, let similar) = error else {
      Issue.record("\(error)")
      return
    }
    #expect(file == "memory" && key == "double_blocks.1.img_mlp.fc1.bias" && shape == [8])
    #expect(similar.contains("double_blocks.0.img_mlp.fc1.bias") && similar.count <= 3)
    #expect(
      "\(error)".hasPrefix("missing weight: memory: \(key): expected shape [8], found no such key (similar: double"))
    #expect(try scope.optionalWeight("fc1.bias", shape: [8]) == nil)
  }

  @Test func `a wrong shape is named with both shapes`() throws {
    let scope = WeightScope(checkpoint)["encoder"]
    for read in [scope.weight, { try scope.optionalWeight($0, shape: $1) }] as [(String, Shape) throws -> Weight?] {
      let error = try #require(throws: CheckpointError.self) { try read("conv.weight", [2, 3]) }
      #expect(
        "\(error)" == "wrong shape: memory: encoder.conv.weight: expected [2, 3], found [2, 2]; "
          + "check that config.json belongs to these weights")
    }
  }

  @Test func `integers are no weights`() throws {
    let scope = WeightScope(Checkpoint([("position_ids", Tensor([1, 2] as [Int32], shape: [2]))]))
    let error = try #require(throws: CheckpointError.self) { try scope.weight("position_ids", shape: [2]) }
    #expect("\(error)".contains("position_ids: expected floating-point numbers, found int32"))
    scope.ignore(prefix: "position_ids")
    #expect(throws: Never.self) { try scope.finish() }
  }

  @Test func `keys left over are counted and named`() throws {
    let scope = WeightScope(checkpoint)
    _ = try scope["double_blocks"][0]["img_mlp"].weight("fc1.weight", shape: [8, 4])
    let error = try #require(throws: CheckpointError.self) { try scope.finish() }
    guard case .unusedKeys("memory", let first, 4) = error else {
      Issue.record("\(error)")
      return
    }
    #expect(Set(first) == Set(shapes.map(\.key).dropFirst()))
    #expect("\(error)".contains("found 4 more: ") && "\(error)".contains("encoder.conv.weight"))
  }

  @Test func `the first ten of many keys left over are named`() throws {
    var random = RandomCheckpoint(seed: 1)
    for index in 0..<25 { random.add("layer.\(index)", shape: [1]) }
    let error = try #require(throws: CheckpointError.self) { try WeightScope(random.checkpoint).finish() }
    #expect("\(error)".contains("found 25 more: layer.0, ") && "\(error)".contains("layer.9, …; "))
  }

  @Test func `ignored prefixes and patterns are not left over`() throws {
    let scope = WeightScope(checkpoint)
    scope["encoder"].ignore(prefix: "conv.")
    #expect(scope.unusedKeys.count == 4)
    #expect(throws: CheckpointError.self) { try scope.finish(ignoring: ["double_blocks.*.fc1.*"]) }
    #expect(throws: CheckpointError.self) { try scope.finish(ignoring: ["double_blocks.*.fc1.*", "*.fc2"]) }
    #expect(throws: Never.self) { try scope.finish(ignoring: ["double_blocks.*.fc1.*", "*fc2.weight"]) }
    #expect(throws: Never.self) { try scope.finish(ignoring: ["double_*"]) }
    #expect(throws: Never.self) { try scope["double_blocks"].finish(ignoring: ["*"]) }
  }

  @Test func `a part of a checkpoint is finished alone`() throws {
    let scope = WeightScope(checkpoint)
    _ = try scope["encoder"].weight("conv.weight", shape: [2, 2])
    #expect(throws: Never.self) { try scope["encoder"].finish() }
    #expect(throws: CheckpointError.self) { try scope["double_blocks"].finish() }
  }

  @Test func `each parameter passes through the adoption`() throws {
    let scope = WeightScope(checkpoint) { Weight(name: "adopted " + $0.name, tensor: $0.tensor) }
    #expect(try scope["encoder"].weight("conv.weight", shape: [2, 2]).name == "adopted encoder.conv.weight")
    #expect(try scope["encoder"].optionalWeight("conv.weight", shape: [2, 2])?.name == "adopted encoder.conv.weight")
  }

  @Test func `a refusal of the device names the parameter`() throws {
    struct Full: Error, CustomStringConvertible { let description = "out of memory: 12 more bytes" }
    let scope = WeightScope(checkpoint) { _ in throw Full() }
    let error = try #require(throws: CheckpointError.self) {
      try scope["encoder"].weight("conv.weight", shape: [2, 2])
    }
    #expect("\(error)" == "cannot load weight: memory: encoder.conv.weight: out of memory: 12 more bytes")
  }

  @Test func `a key table translates names both ways`() throws {
    struct Prefixed: KeyTable {
      func stored(_ name: String) -> StoredParameter { StoredParameter(["model." + name]) }
      func name(forStoredKey key: String) -> String { String(key.dropFirst("model.".count)) }
    }
    let random = RandomCheckpoint(["model.a.weight": [2], "model.b.weight": [2]], seed: 1)
    let scope = WeightScope(random.checkpoint, keys: Prefixed())
    #expect(try scope["a"].weight("weight", shape: [2]).name == "model.a.weight")
    #expect(scope.unusedKeys == ["model.b.weight"])
    scope.ignore(prefix: "b.")
    #expect(throws: Never.self) { try scope.finish() }
    let error = try #require(throws: CheckpointError.self) { try scope["c"].weight("weight", shape: [2]) }
    #expect("\(error)".contains("model.c.weight"))
  }
}
