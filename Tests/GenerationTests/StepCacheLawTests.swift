import CPUBackend
import Collectives
import Generation
import HunyuanVideo
import Layers
import TensorCore
import TensorTesting
import Testing

/// What holds for every cache rule on the demo checkpoint.
@Suite struct StepCacheLawTests {
  private final class Recorder: GenerationObserver {
    var steps: [StepRecord] = []
    func stepDidEnd(_ record: StepRecord) { steps.append(record) }
  }

  private static let stepCount = 10
  /// Ratios that let MagCache skip.
  private static let ratios = "1,1.1,1.05,1.02,1.01,1,0.99,0.98,0.97,0.95"

  private let context = ForwardContext(backend: CPUBackend())
  private let prompt = "A red ball moves from left to right on a black background."

  /// A rule with options.
  struct Rule: Sendable, CustomTestStringConvertible {
    let method: String
    let options: [String: String]
    var testDescription: String { "\(method) \(options.sorted { $0.key < $1.key })" }
  }

  /// Rules with parameters that allow no skip.
  static let dense = [
    Rule(method: "teacache", options: ["rel_l1_thresh": "0"]),
    Rule(method: "teacache", options: ["rel_l1_thresh": "0", "coefficients": "-1,-1"]),
    Rule(method: "teacache-ascend", options: ["rel_l1_thresh": "0"]),
    Rule(method: "fbcache", options: ["rel_l1_thresh": "0"]),
    Rule(method: "fbcache", options: ["rel_l1_thresh": "0", "signal": "output"]),
    Rule(method: "taylorseer", options: ["skip_interval_steps": "1"]),
    Rule(method: "taylorseer", options: ["skip_interval_steps": "1", "scope": "velocity"]),
    Rule(method: "easycache", options: ["thresh": "0"]),
    Rule(method: "magcache", options: ["thresh": "0", "mag_ratios": "1"]),
  ]

  /// Rules with parameters that allow every skip, and the steps that they still compute.
  static let greedy: [(Rule, [Int])] = [
    (Rule(method: "teacache", options: ["rel_l1_thresh": "1e9"]), [0, 9]),
    (Rule(method: "teacache-ascend", options: ["rel_l1_thresh": "1e9"]), [0, 1, 2, 8, 9]),
    (Rule(method: "fbcache", options: ["rel_l1_thresh": "1e9"]), [0]),
    (Rule(method: "fbcache", options: ["rel_l1_thresh": "1e9", "warmup": "3", "signal": "output"]), [0, 1, 2]),
    (Rule(method: "taylorseer", options: ["skip_interval_steps": "10000", "offset": "9999"]), [0, 1, 2, 9]),
    (Rule(method: "taylorseer", options: ["skip_interval_steps": "4", "n_derivatives": "1"]), [0, 1, 2, 3, 7, 9]),
    (
      Rule(method: "taylorseer", options: ["skip_interval_steps": "4", "warmup": "0", "scope": "velocity"]),
      [0, 4, 8, 9]
    ),
    (Rule(method: "easycache", options: ["thresh": "1e9"]), [0, 1, 2, 3, 4, 9]),
    (Rule(method: "magcache", options: ["thresh": "1e9", "K": "10000", "mag_ratios": ratios]), [0, 1]),
    (Rule(method: "magcache", options: ["thresh": "1e9", "K": "3", "mag_ratios": ratios]), [0, 1, 5, 9]),
  ]

  private func request(_ rule: Rule?, prompt: String? = nil) throws -> (VideoPipeline, GenerationRequest, Recorder) {
    let model = try ModelFolder(Goldens.repositoryPath("Models/demo"))
    let recorder = Recorder()
    var request = GenerationRequest(prompt: prompt ?? self.prompt, seed: 3, defaults: model.defaults)
    (request.steps, request.frames) = (Self.stepCount, 5)
    if let rule { request.cache = try StepCacheSettings(method: rule.method, options: rule.options) }
    return (VideoPipeline(model, in: context, observer: recorder), request, recorder)
  }

  private func latents(_ rule: Rule?) throws -> (latents: [Float], computed: [Int]) {
    let (pipeline, request, recorder) = try request(rule)
    let latents = try pipeline.denoise(request, texts: pipeline.encode([request])[0])
    return (latents.floats(), recorder.steps.filter { !$0.skipped }.map(\.index))
  }

  @Test func `rules that may skip nothing give the bits of the full run`() throws {
    let full = try latents(nil)
    #expect(full.computed == Array(0..<Self.stepCount))
    for rule in Self.dense {
      let cached = try latents(rule)
      #expect(cached.computed == full.computed, "\(rule)")
      #expect(cached.latents == full.latents, "\(rule)")
    }
  }

  @Test func `rules that may skip everything compute exactly the forced steps`() throws {
    for (rule, forced) in Self.greedy {
      #expect(try latents(rule).computed == forced, "\(rule)")
    }
  }

  @Test func `a second video equals the same video made first, with every rule`() throws {
    for (rule, _) in Self.greedy {
      let alone = try latents(rule)
      let (pipeline, second, recorder) = try request(rule)
      var first = second
      first.prompt = "A blue square rises upwards over a gray background."
      let texts = try pipeline.encode([first, second])
      _ = try pipeline.denoise(first, texts: texts[0])
      recorder.steps.removeAll()
      let after = try pipeline.denoise(second, texts: texts[1])
      #expect(after.floats() == alone.latents, "\(rule)")
      #expect(recorder.steps.filter { !$0.skipped }.map(\.index) == alone.computed, "\(rule)")
    }
  }

  @Test func `with true guidance each pass has a cache of its own`() throws {
    let (pipeline, original, recorder) = try request(Rule(method: "teacache", options: ["rel_l1_thresh": "0.15"]))
    var request = original
    request.cfgScale = 3
    request.negativePrompt = request.prompt
    // Equal prompts: both passes decide and compute alike, and guidance cancels.
    let guided = try pipeline.denoise(request, texts: pipeline.encode([request])[0])
    let decisions = recorder.steps.map(\.skipped)
    #expect(decisions.contains(true))
    recorder.steps.removeAll()
    request.cfgScale = 1
    let plain = try pipeline.denoise(request, texts: pipeline.encode([request])[0])
    #expect(recorder.steps.map(\.skipped) == decisions)
    expectClose(guided, plain, relative: 1e-4, "guided latents")
  }

  @Test func `a skipped step of a larger network costs under 3 percent of a full one`() throws {
    // Half a second of network, so that timing means something: 1024 video tokens of the demo's transformer.
    let (pipeline, original, recorder) = try request(Rule(method: "easycache", options: ["thresh": "1e9"]))
    var request = original
    (request.height, request.width, request.frames) = (256, 256, 13)
    _ = try pipeline.denoise(request, texts: pipeline.encode([request])[0])
    let full = recorder.steps.filter { !$0.skipped }.map(\.seconds).sorted()
    let skipped = recorder.steps.filter(\.skipped).map(\.seconds).sorted()
    #expect(skipped[skipped.count / 2] < 0.03 * full[full.count / 2])
  }
}
