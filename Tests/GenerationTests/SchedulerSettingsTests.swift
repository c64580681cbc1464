import CPUBackend
import Checkpoints
import Foundation
import Generation
import HunyuanVideo
import Layers
import TensorCore
import TensorOps
import TensorTesting
import Testing

/// What a release's folder says of its steps, against latents of diffusers.
@Suite struct SchedulerSettingsTests {
  private static let scheduler = "scheduler/scheduler_config.json"

  /// A pipeline's folder as diffusers saves it.
  private func pipeline() throws -> CheckpointCopy {
    let copy = try CheckpointCopy(empty: "pipeline")
    for part in ["transformer", "vae", "text_encoder", "text_encoder_2"] {
      try copy.link(part, toPackage: "Tests/Goldens/layouts/diffusers/\(part)")
    }
    let golden = "Tests/Goldens/settings/pipeline"
    for file in [
      "model_index.json", Self.scheduler, "tokenizer/tokenizer_config.json", "tokenizer_2/tokenizer_config.json",
    ] {
      try copy.link(file, toPackage: "\(golden)/\(file)")
    }
    try copy.link("tokenizer/tokenizer.json", toPackage: "Models/demo/text_encoder/tokenizer.json")
    try copy.link("tokenizer_2/tokenizer.json", toPackage: "Models/demo/text_encoder_2/tokenizer.json")
    return copy
  }

  @Test func `the steps of a folder's own scheduler give diffusers' latents`() throws {
    let golden = try Goldens.tensors("settings/pipeline/expected.safetensors")
    let text = try Goldens.tensors("transformer/one_valid_token_float16/expected.safetensors")
    let folder = try pipeline()
    defer { withExtendedLifetime(folder) {} }
    let model = try ModelFolder(folder.root)
    #expect(model.defaults.flowShift == 3.5 && model.defaults.flowShiftSource?.hasSuffix(Self.scheduler) == true)
    let scheduler = FlowMatchScheduler(steps: 4, shift: model.defaults.flowShift)
    expectClose(Tensor(scheduler.sigmas, shape: [5]), try golden.tensor("sigmas"), relative: 1e-6, "sigmas")

    let context = ForwardContext(backend: CPUBackend())
    let network = try model.transformerNetwork()
    let transformer = try HunyuanVideoTransformer(network.scope(), configuration: network.transformerConfiguration())
    let valid = try text.tensor("text_mask").integers().reduce(0, +)
    let conditioning = try transformer.conditioning(
      timesteps: scheduler.timesteps, guidance: text.tensor("guidance").floats()[0],
      textStates: context.backend.contiguous(text.tensor("text_states").slice(1, 0..<valid)),
      pooledText: text.tensor("text_states_2"), in: context)
    var latents = try golden.tensor("noise")
    for step in 0..<4 {
      let velocity = try transformer(
        latents, step: step, conditioning: conditioning, rotary: transformer.rotaryTable(for: latents.shape),
        cache: NoStepCache(), in: context)
      let size = scheduler.stepSize(step)
      let moved = zip(latents.floats(), try context.backend.download(velocity).floats()).map { $0 + size * $1 }
      latents = Tensor(moved, shape: latents.shape)
    }
    expectClose(latents, try golden.tensor("latents"), relative: 1e-3, "latents")
  }

  /// Fields, and a word of the message.
  static let refused = [
    (#""use_dynamic_shifting":true"#, "use_dynamic_shifting"), (#""use_karras_sigmas":true"#, "use_karras_sigmas"),
    (#""use_exponential_sigmas":true"#, "use_exponential_sigmas"), (#""use_beta_sigmas":true"#, "use_beta_sigmas"),
    (#""invert_sigmas":true"#, "invert_sigmas"), (#""shift_terminal":0.1"#, "shift_terminal"),
    (#""stochastic_sampling":true"#, "stochastic_sampling"), (#""num_train_timesteps":500"#, "num_train_timesteps"),
    (#""_class_name":"UniPCMultistepScheduler""#, "another rule"), (#""solver":"heun""#, "solver"),
    (#""shift":0"#, "shift"), (#""shift":"seven""#, "shift"), (#""sigma_data":1"#, "unknown setting"),
  ]

  @Test(arguments: refused)
  func `steps that are not computed are refused by the field's name`(_ fields: String, _ word: String) throws {
    let copy = try CheckpointCopy()
    try copy.write("{\(fields)}", to: Self.scheduler)
    let error = try #require(throws: CheckpointError.self) { try ModelFolder(copy.root) }
    #expect("\(error)".contains(Self.scheduler) && "\(error)".contains(word), "\(error)")
  }

  @Test func `a description's shift comes before the scheduler's, and a named transformer's own before both`() throws {
    let copy = try CheckpointCopy()
    try copy.write(
      #"{"_class_name":"FlowMatchDiscreteScheduler","shift":9,"reverse":true,"solver":"euler"}"#, to: Self.scheduler)
    #expect(try ModelFolder(copy.root).defaults.flowShift == 4)
    let plain = try CheckpointCopy(described: false)
    #expect(try ModelFolder(plain.root).defaults.flowShift == 7)
    try plain.write(#"{"shift":9}"#, to: Self.scheduler)
    #expect(try ModelFolder(plain.root).defaults.flowShift == 9)

    let fast = try CheckpointCopy(empty: "fast")
    try fast.link("transformer", toPackage: "Models/demo/hunyuan-video-t2v-720p/transformers")
    try fast.write(#"{"shift":17.0}"#, to: Self.scheduler)
    for path in ["/transformer", "/transformer/mp_rank_00_model_states.safetensors"] {
      let model = try ModelFolder(copy.root, parts: ModelParts(transformer: fast.root + path))
      #expect(model.defaults.flowShift == 17)
    }
  }

  @Test func `a converted folder keeps the shift of its scheduler`() throws {
    let copy = try CheckpointCopy(described: false)
    try copy.write(#"{"shift":9.25}"#, to: Self.scheduler)
    let output = copy.base + "/converted"
    let conversion = try FolderConversion(ModelFolder(copy.root), format: nil)
    try conversion.write(to: output, progress: { _, _, _ in }, done: { _, _ in })
    #expect(try ModelFolder(output).defaults.flowShift == 9.25)
  }

  @Test(arguments: ["HunyuanVideoImageToVideoPipeline", "WanPipeline", "HunyuanVideo15Pipeline", "FluxPipeline"])
  func `a folder of another pipeline is refused by its name`(_ name: String) throws {
    let copy = try pipeline()
    try copy.change("model_index.json", ["_class_name": name])
    let error = try #require(throws: CheckpointError.self) { try ModelFolder(copy.root) }
    #expect("\(error)".contains(name) && "\(error)".contains("model_index.json"), "\(error)")
  }

  // MARK: model.json

  nonisolated(unsafe) static let descriptions: [([String: Any?], String)] = [
    (["guidance": 3], "guidance"), (["defaults": ["stepz": 3]], "defaults.stepz"),
    (["files": ["transformr": "x"]], "files.transformr"), (["defaults": ["crop_start": 90]], "crop_start"),
    (["defaults": ["crop_start_image": 90]], "crop_start_image"),
  ]

  @Test(arguments: 0..<descriptions.count)
  func `a description's field that nobody knows, or that is not true, is refused by name`(_ index: Int) throws {
    let (fields, word) = Self.descriptions[index]
    let copy = try CheckpointCopy()
    try copy.change("model.json", fields)
    let error = try #require(throws: (any Error).self) { try PromptTokenizer(ModelFolder(copy.root)) }
    #expect("\(error)".contains(word) && "\(error)".contains("model.json"), "\(error)")
  }
}
