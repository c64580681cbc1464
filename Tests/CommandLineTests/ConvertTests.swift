import Checkpoints
import Foundation
import StrictJSON
import TensorCore
import TensorTesting
import Testing

@Suite struct ConvertTests {
  private let source = Goldens.path("layouts/diffusers/transformer")

  @Test func `diffusers' shards become one file in Tencent's names with the same numbers`() throws {
    let folder = TemporaryFolder()
    let path = folder.path("weights.safetensors")
    let result = try Program.run(["convert", source, "--dtype", "f16", "--output", path])
    #expect(result.status == 0, "\(result.errors)")
    #expect(result.output.contains("double_blocks.*.img_attn_qkv.weight: f16, 9600 numbers, relative error 0.00e+00"))
    let converted = try Checkpoint(path: path)
    let tencent = try Checkpoint(path: Goldens.path("transformer/one_valid_token_float16/weights.safetensors"))
    #expect(Set(converted.tensors.map(\.name)) == Set(tencent.tensors.map(\.name)))
    for tensor in tencent.tensors {
      #expect(converted[tensor.name]?.tensor.floats() == tensor.tensor.floats(), "\(tensor.name)")
    }
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: folder.root).sorted() == [
        "config.json", "weights.safetensors",
      ])
  }

  @Test(arguments: [("fp8", 0.03), ("int8", 0.012), ("bf16", 0.002)])
  func `what a format loses is small and is told`(_ dtype: String, _ bound: Double) throws {
    let folder = TemporaryFolder()
    let path = folder.path("weights.safetensors")
    let result = try Program.run(["convert", source, "--dtype", dtype, "--output", path])
    #expect(result.status == 0, "\(result.errors)")
    let line = try #require(
      result.output.split(separator: "\n").first { $0.hasPrefix("double_blocks.*.txt_mlp.fc1.weight") })
    let told = try #require(line.split(separator: " ").last.flatMap { Double($0) })
    #expect(told > 0 && told < bound)
    let file = try SafetensorsFile(path: path)
    let original = try #require(
      try SafetensorsFile(path: Goldens.path("transformer/one_valid_token_float16/weights.safetensors"))[
        "double_blocks.0.txt_mlp.fc1.weight"])
    let stored = try #require(file["double_blocks.0.txt_mlp.fc1.weight"])
    let factors =
      (file["double_blocks.0.txt_mlp.fc1.scale_weight"] ?? file["double_blocks.0.txt_mlp.fc1.weight_scale"])?
      .tensor.floats() ?? [1]
    #expect(factors.count == (dtype == "int8" ? 160 : 1))
    let values = stored.tensor.floats().enumerated().map { $1 * factors[factors.count == 1 ? 0 : $0 / 40] }
    expectClose(Tensor(values, shape: stored.shape), original.tensor, relative: bound, dtype)
  }

  @Test(arguments: [("q8_0", BlockFormat.q80, 0.01), ("q4_k", .q4K, 0.08)])
  func `GGUF blocks are written where rows are whole blocks`(
    _ dtype: String, _ format: BlockFormat, _ bound: Double
  ) throws {
    let folder = TemporaryFolder()
    let path = folder.path("weights.gguf")
    let source = Goldens.repositoryPath("Models/demo/hunyuan-video-t2v-720p/transformers")
    let result = try Program.run(["convert", source, "--dtype", dtype, "--output", path])
    #expect(result.status == 0, "\(result.errors)")
    let (converted, original) = (try Checkpoint(path: path), try Checkpoint(path: source))
    #expect(Set(converted.tensors.map(\.name)) == Set(original.tensors.map(\.name)))
    // 128 channels are four blocks of 32 and no block of 256; 512 are both.
    let names = [
      ("double_blocks.0.img_mlp.fc1.weight", BlockFormat.q80), ("double_blocks.0.img_mlp.fc2.weight", format),
    ]
    for (name, expected) in names { #expect(converted[name]?.blocks == expected, "\(name)") }
    for tensor in original.tensors {
      let stored = try #require(converted[tensor.name])
      #expect(stored.shape == tensor.shape)
      let values: [Float]
      if let blocks = stored.blocks {
        let bytes = UnsafeRawBufferPointer(start: stored.tensor.hostPointer, count: stored.byteCount)
        values = stride(from: 0, to: bytes.count, by: blocks.byteCount).flatMap {
          blocks.values(ofBlock: UnsafeRawBufferPointer(rebasing: bytes[$0..<$0 + blocks.byteCount]))
        }
      } else {
        values = stored.tensor.floats()
      }
      expectClose(Tensor(values, shape: stored.shape), tensor.tensor, relative: bound, tensor.name)
      if stored.blocks == .q80 { expectHalfSteps(values, tensor.tensor.floats(), tensor.name) }
    }
    let inspected = try Program.run(["inspect", path])
    #expect(inspected.output.contains("names of Tencent") && inspected.output.contains(format.description))
  }

  /// Every number of a block is within half a step, 1/127 of the block's largest, and what half precision takes from the factor.
  private func expectHalfSteps(_ stored: [Float], _ original: [Float], _ name: String) {
    for start in stride(from: 0, to: original.count, by: 32) {
      let block = start..<start + 32
      let largest = original[block].reduce(0) { max($0, $1.magnitude) }
      let bound = largest * (0.5 / 127 + 0x1p-11) * 1.001 + 0x1p-24
      let worst = block.reduce(Float(0)) { max($0, (stored[$1] - original[$1]).magnitude) }
      if worst > bound { Issue.record("\(name), block at \(start): \(worst) off, at most \(bound) expected") }
    }
  }

  @Test func `numbers that blocks cannot hold are refused and leave no file`() throws {
    let folder = TemporaryFolder()
    let model = try Checkpoint(path: Goldens.repositoryPath("Models/demo/hunyuan-video-t2v-720p/transformers"))
    let guilty = "single_blocks.1.linear2.weight"
    let tensors = model.tensors.map { tensor in
      var values = tensor.tensor.floats()
      if tensor.name == guilty { values[77] = .infinity }
      return (name: tensor.name, tensor: Tensor(values, shape: tensor.shape))
    }
    try SafetensorsWriter.write(tensors, to: folder.path("source.safetensors"))
    for dtype in ["q4_k", "q8_0"] {
      let result = try Program.run([
        "convert", folder.path("source.safetensors"), "--dtype", dtype, "--output", folder.path("result.gguf"),
      ])
      #expect(result.status == 1 && result.errorLine.contains(guilty), "\(result.errors)")
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.root) == ["source.safetensors"])
  }

  @Test func `a conversion that is killed leaves nothing under the result's name`() throws {
    let folder = TemporaryFolder()
    let random = try Program.run(["convert", "--random", "clip-l", "--output", folder.root])
    #expect(random.status == 0, "\(random.errors)")
    let arguments = [
      "convert", folder.path("text_encoder_2/model.safetensors"), "--dtype", "q4_k", "--output",
      folder.path("result.gguf"),
    ]
    let process = try Program.start(arguments)
    // Killed as soon as it writes.
    let deadline = Date.now + 30
    func begun() throws -> Bool {
      try FileManager.default.contentsOfDirectory(atPath: folder.root).contains { $0.hasSuffix(".partial") }
    }
    while try !begun(), Date.now < deadline { Thread.sleep(forTimeInterval: 0.01) }
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
    #expect(process.terminationReason == .uncaughtSignal)
    #expect(!FileManager.default.fileExists(atPath: folder.path("result.gguf")))
  }

  @Test func `random weights of a published size are recognized`() throws {
    let folder = TemporaryFolder()
    let result = try Program.run(["convert", "--random", "clip-l", "--dtype", "fp8", "--output", folder.root])
    #expect(result.status == 0, "\(result.errors)")
    let inspected = try Program.run(["inspect", folder.path("text_encoder_2/model.safetensors")])
    #expect(inspected.output.contains("12 layers, width 768, 12 heads, vocabulary 49408"))
  }

  @Test(arguments: [
    (["convert", "--output", "a"], "--random"), (["convert", "--random", "gpt", "--output", "a"], "hyvideo-t2"),
    (["convert", "/nonexistent", "--output", "a.safetensors"], "/nonexistent"),
    (["convert", "/nonexistent", "--dtype", "int3", "--output", "a.safetensors"], "bf16"),
    (["convert", Goldens.path("layouts/llava"), "--vae-path", "b", "--output", "a.safetensors"], "--vae-path"),
    (["convert", Goldens.path("layouts/llava"), "--model", "b", "--output", "a.safetensors"], "two"),
    (["convert", "--random", "clip-l", "--double-blocks", "2", "--output", "a"], "hyvideo-t2"),
    (["convert", "--random", "hyvideo-t2", "--single-blocks", "0", "--output", "a"], "1 to 1000"),
    (["convert", "--random", "clip-l", "--dtype", "keep", "--output", "a"], "bf16"),
    (["convert", Goldens.path("layouts/llava"), "--output", "a.bin"], ".safetensors"),
    (["convert", Goldens.path("layouts/llava"), "--dtype", "q8_0", "--output", "a.safetensors"], ".gguf"),
    (["convert", "--random", "clip-l", "--dtype", "q4_k", "--output", "a"], "int8"),
  ])
  func `what cannot be converted is refused`(_ arguments: [String], _ named: String) throws {
    let result = try Program.run(arguments)
    #expect(result.status == 64 && result.errorLine.contains(named), "\(result.errors)")
  }

  @Test func `a 13 B file is inspected within a second`() throws {
    // The published file's header over a hole: nothing but the header is ever read.
    let shapes = try #require(try Goldens.json("keys/transformer_comfy.json").object)
    var offset = 0
    let members = shapes.sorted { $0.key < $1.key }.map { name, shape in
      let dimensions = shape.array?.compactMap(\.int) ?? []
      let end = offset + 2 * dimensions.reduce(1, *)
      defer { offset = end }
      return "\"\(name)\":{\"dtype\":\"BF16\",\"shape\":\(dimensions),\"data_offsets\":[\(offset),\(end)]}"
    }
    let header = Data("{\(members.joined(separator: ","))}".utf8)
    let folder = TemporaryFolder()
    let path = folder.path("hunyuan_video_t2v_720p_bf16.safetensors")
    let length = withUnsafeBytes(of: UInt64(header.count).littleEndian) { Data($0) }
    try (length + header).write(to: URL(fileURLWithPath: path))
    let file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    try file.truncate(atOffset: UInt64(8 + header.count + offset))
    try file.close()

    let clock = ContinuousClock()
    let start = clock.now
    let result = try Program.run(["inspect", path])
    #expect(start.duration(to: clock.now) < .seconds(1))
    #expect(result.status == 0, "\(result.errors)")
    for text in [
      "names of ComfyUI, prefix model.model.", "20 double and 40 single blocks, width 3072, 24 heads of 128",
      "856 tensors", "12821012544 elements, 25.64 GB", "text 4096 and 768 channels",
    ] { #expect(result.output.contains(text), "\(text)") }
  }
}
