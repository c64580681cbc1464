import Checkpoints
import Foundation
import StrictJSON
import TensorTesting
import Testing

/// `hyvideo generate --config`: files in the form of the Ascend recipes.
@Suite struct ConfigurationTests {
  private static let arguments = """
    model_args:
      prompt: "A red ball moves from left to right on a black background."  # a comment
      video-size: [64, 48]
      video-length: 5
      infer-steps: 9
      seed: 42
      embedded-cfg-scale: 5.0
      flow-shift: 4.0
      flow-reverse: true
      use-cpu-offload: false

    """
  private static let launch = """
    model_name: "hunyuan-video"
    world_size: 1
    master_port: 29600
    entry_script: "sample_video.py"

    """

  private func run(
    _ yaml: String, _ flags: [String] = [], in folder: TemporaryFolder = TemporaryFolder()
  ) throws -> (result: Program.Result, report: JSONValue?) {
    try yaml.write(toFile: folder.path("c.yaml"), atomically: true, encoding: .utf8)
    let result = try Program.run(
      [
        "generate", "--config", folder.path("c.yaml"), "--output", folder.path("a.mp4"), "--report",
        folder.path("r.json"),
      ]
        + flags, in: folder.root, environment: ["XDG_CACHE_HOME": folder.path("caches")])
    return (result, result.status == 0 ? try JSONValue(contentsOf: folder.path("r.json")) : nil)
  }

  /// The rule of a recipe with its options here.
  private static let published = "733.226126,-401.131952,67.5869174,-3.149879,0.0961237896"
  static let caches: [(yaml: String, cache: String, options: [String: String])] = [
    ("method: \"NoCache\"\n  enable_separate_cfg: true", "none", [:]),
    (
      "method: \"FBCache\"\n  params:\n    rel_l1_thresh: 0.1", "fbcache",
      ["rel_l1_thresh": "0.1", "signal": "output", "warmup": "0"]
    ),
    ("method: FBCache", "fbcache", ["rel_l1_thresh": "0.05", "signal": "output", "warmup": "0"]),
    (
      "method: TeaCache", "teacache-ascend",
      ["rel_l1_thresh": "0.15", "warmup": "2", "coefficients": published]
    ),
    (
      "method: TeaCache\n  params:\n    coefficients: [1, 0.5]\n    warmup: 1\n    offload: true", "teacache-ascend",
      ["rel_l1_thresh": "0.15", "warmup": "1", "coefficients": "1.0,0.5"]
    ),
    (
      "method: TaylorSeer\n  params:\n    skip_interval_steps: 3\n    offload: true", "taylorseer",
      [
        "n_derivatives": "3", "skip_interval_steps": "3", "warmup": "3", "cutoff_steps": "1", "offset": "0",
        "scope": "modules",
      ]
    ),
  ]

  @Test(arguments: caches)
  func `a recipe's file sets its flags and the cache with the recipe's values`(
    _ yaml: String, _ cache: String, _ options: [String: String]
  ) throws {
    let (result, report) = try run(Self.arguments + Self.launch + "dit_cache:\n  \(yaml)\n")
    #expect(result.status == 0, "\(result.errors)")
    let settings = try #require(report?["settings"])
    #expect(settings["prompt"].string == "A red ball moves from left to right on a black background.")
    #expect(settings["height"].int == 64 && settings["width"].int == 48 && settings["frames"].int == 5)
    #expect(settings["steps"].int == 9 && report?["seed"].int == 42)
    #expect(settings["embedded_guidance"].double == 5 && settings["flow_shift"].double == 4)
    #expect(settings["cache"].string == cache)
    #expect(settings["cache_options"].object?.compactMapValues(\.string) == options)
  }

  @Test func `flags on the command line win, and a file fills those of a rule that are not given`() throws {
    let (result, report) = try run(
      Self.arguments + "dit_cache:\n  method: TeaCache\n  params: {rel_l1_thresh: 0.2, warmup: 1}\n",
      ["--prompt", "A blue square.", "--infer-steps", "6", "--seed", "3", "--rel_l1_thresh", "0.3"])
    #expect(result.status == 0, "\(result.errors)")
    let settings = try #require(report?["settings"])
    #expect(settings["prompt"].string == "A blue square." && settings["steps"].int == 6)
    #expect(report?["seed"].int == 3 && settings["frames"].int == 5)
    #expect(settings["cache_options"]["rel_l1_thresh"].string == "0.3")
    #expect(settings["cache_options"]["warmup"].string == "1")
    let (other, otherReport) = try run(
      Self.arguments + "dit_cache:\n  method: TeaCache\n", ["--cache", "easycache"])
    #expect(other.status == 0 && otherReport?["settings"]["cache"].string == "easycache", "\(other.errors)")
  }

  /// A line in the file, and what the refusal names.
  static let refused: [(yaml: String, names: [String])] = [
    (
      "sparse:\n  method: \"SVG\"\n  block_size_Q: 128\n  params:\n    SVG: {sparsity: 0.8}\n",
      ["sparse.method", "SVG"]
    ),
    ("sparse:\n  block_size_Q: 128\n", ["sparse.method"]),
    ("env_vars:\n  TASK_QUEUE_ENABLE: 2\n", ["env_vars"]),
    ("model_name: \"wan\"\n", ["model_name", "hunyuan-video"]),
    ("dit_cach:\n  method: FBCache\n", ["dit_cach", "did you mean dit_cache?", ":1: "]),
    ("model_args:\n  vidoe_size: [64, 64]\n", ["model_args.vidoe_size", "did you mean video-size?", ":2"]),
    ("model_args:\n  zzzz: 1\n", ["model_args.zzzz", "known are"]),
    ("model_args:\n  infer-steps: many\n", ["model_args.infer-steps", "an integer", "many"]),
    ("model_args:\n  infer-steps: 7.5\n", ["model_args.infer-steps", "7.5"]),
    ("model_args:\n  prompt: [a, b]\n", ["model_args.prompt", "a list"]),
    ("model_args:\n  flow-reverse: 3\n", ["model_args.flow-reverse", "true or false"]),
    ("model_args:\n  flow-shift: .nan\n", ["model_args.flow-shift", "a number"]),
    ("model_args:\n  video-size: [1, 2, 3]\n", ["model_args.video-size", "3 numbers"]),
    ("model_args:\n  video-size: {h: 1}\n", ["model_args.video-size", "a section"]),
    ("model_args:\n  seed: -2\n", ["model_args.seed", "-2", "-1 to draw one"]),
    ("model_args:\n  use-fp8: true\n", ["not built", "model_args.use-fp8", "8-bit weights"]),
    ("model_args:\n  memory-limit: 3 apples\n", [":2: model_args.memory-limit", "3 apples"]),
    ("model_args:\n  cache: teacache\ndit_cache:\n  method: FBCache\n", ["two choices", "model_args.cache"]),
    ("model_args:\n  config: other.yaml\n", ["model_args.config", "names no other"]),
    ("model_args:\n  mm-mxfp8: true\n", ["not built", "model_args.mm-mxfp8"]),
    ("model_args:\n  extract_q_k_data: true\n", ["not built", "model_args.extract_q_k_data"]),
    ("model_args:\n  batch-size: 2\n", ["model_args.batch-size", "expected 1"]),
    ("model_args: 5\n", ["model_args", "a section"]),
    ("dit_cache:\n  method: TeeCache\n", ["dit_cache.method", "did you mean TeaCache?"]),
    ("dit_cache:\n  params: {rel_l1_tresh: 1}\n", ["dit_cache.params.rel_l1_tresh", "rel_l1_thresh?"]),
    ("dit_cache:\n  method: TeaCache\n  params: {coefficients: [1, x]}\n", ["dit_cache.params.coefficients", "x"]),
    ("dit_cache:\n  method: TeaCache\n  params: {rel_l1_thresh: -1}\n", ["c.yaml: dit_cache: ", "thresh=-1"]),
    ("dit_cache:\n  enable_separate_cfg: false\nmodel_args:\n  cfg-scale: 2\n", ["enable_separate_cfg"]),
    ("world_size: some\n", ["world_size", "an integer"]),
    ("model_args:\n  seed: 1\n  seed: 2\n", ["seed twice"]),
    ("? [a, b]\n: 1\n", ["a name as the key"]),
    ("- a\n- b\n", ["no mapping"]), ("just text\n", ["no mapping"]), ("", ["empty"]),
    ("a: 1\n---\nb: 2\n", ["unreadable configuration"]), ("model_args: {prompt: \"a\n", ["unreadable configuration"]),
    ("model_args: !!binary x\n", ["model_args"]), ("\u{0}\u{1}", ["unreadable configuration"]),
    // References, once harmless and once two to the power of 60 values.
    ("model_args: &a {seed: 1}\nworld_size: *a\n", ["anchor", "&a and *a"]),
    (
      "x0: &x0 [a]\n" + (1...60).map { "x\($0): &x\($0) [*x\($0 - 1), *x\($0 - 1)]\n" }.joined() + "? *x60\n: 1\n",
      ["anchor"]
    ),
    // Depth and size.
    ("model_args: " + String(repeating: "[", count: 30_000), ["unreadable configuration"]),
    (
      "model_args: " + String(repeating: "[", count: 900) + String(repeating: "]", count: 900),
      ["model_args", "a section"]
    ),
    ("model_args:\n" + String(repeating: "- ", count: 30_000), ["unreadable configuration"]),
    (String(repeating: "# a\n", count: 20_000), ["65536 bytes"]),
  ]

  @Test(arguments: refused)
  func `what is not built, unknown, of another type or hostile is refused by name`(
    _ yaml: String, _ names: [String]
  ) throws {
    let (result, _) = try run(yaml, ["--prompt", "x"])
    #expect(result.status == 64, "\(result.errors)")
    for name in names { #expect(result.errorLine.contains(name), "\(name): \(result.errorLine)") }
  }

  @Test func `a file that is none, a folder or endless is refused`() throws {
    let folder = TemporaryFolder()
    for path in [folder.path("none.yaml"), folder.root, "/dev/zero"] {
      let result = try Program.run(["generate", "--prompt", "x", "--config", path])
      #expect(result.status == 64 && result.errorLine.contains(path), "\(result.errors)")
    }
  }

  @Test func `the example's file is read, and ampersands and stars in prompts are letters`() throws {
    let folder = TemporaryFolder()
    let example = try String(contentsOfFile: Goldens.repositoryPath("Examples/teacache.yaml"), encoding: .utf8)
    let small = ["--video-size", "64", "64", "--video-length", "5", "--infer-steps", "6"]
    let (result, report) = try run(example, small, in: folder)
    #expect(result.status == 0, "\(result.errors)")
    #expect(report?["settings"]["cache"].string == "teacache-ascend" && report?["seed"].int == 42)
    let prompt = "model_args:\n  prompt: \"Rock & roll, a *red* ball &c\"\n"
    let (starred, starredReport) = try run(prompt, small, in: folder)
    #expect(starred.status == 0, "\(starred.errors)")
    #expect(starredReport?["settings"]["prompt"].string == "Rock & roll, a *red* ball &c")
  }

  @Test func `degrees that the number of ranks does not have are refused`() throws {
    let (result, _) = try run(Self.arguments.replacing("use-cpu-offload: false", with: "ulysses-degree: 8"))
    #expect(result.status == 64 && result.errorLine.contains("--ulysses-degree"), "\(result.errors)")
  }

  /// The long flags of a command by the parser's own description, and which of them take a value.
  static func flags(of command: String) throws -> [(name: String, takesValue: Bool)] {
    let description = try JSONValue(
      bytes: Array(try Program.run([command, "--experimental-dump-help"]).output.utf8), file: "help")
    return (description["command"]["arguments"].array ?? []).flatMap { argument in
      (argument["names"].array ?? []).filter { $0["kind"].string == "long" }
        .compactMap { name in name["name"].string.map { ($0, argument["kind"].string == "option") } }
    }
  }

  @Test func `every flag of generate is a key, spelled with dashes or with underlines, and null leaves it out`() throws
  {
    let folder = TemporaryFolder()
    let flags = try Self.flags(of: "generate").map(\.name).filter { !["help", "version", "config"].contains($0) }
    #expect(flags.count > 50)
    let spellings: [(String) -> String] = [{ $0.replacing("_", with: "-") }, { $0.replacing("-", with: "_") }]
    for spelling in spellings {
      let lines = flags.map { "  \(spelling($0)): null\n" }.joined()
      try "model_args:\n\(lines)".write(toFile: folder.path("c.yaml"), atomically: true, encoding: .utf8)
      let result = try Program.run(["plan", "--config", folder.path("c.yaml"), "--json"], in: folder.root)
      #expect(result.status == 0, "\(result.errors)")
    }
    let unknown = "model_args:\n  no-such-flag: null\n"
    try unknown.write(toFile: folder.path("c.yaml"), atomically: true, encoding: .utf8)
    #expect(try Program.run(["plan", "--config", folder.path("c.yaml")]).status == 64)
  }

  @Test func `precisions, files and rules are flags of a file like any other, and the command line wins`() throws {
    let yaml = """
      model_args:
        prompt: no
        video_size: [32, 48]
        video-length: 1
        infer_steps: 9
        seed: 18446744073709551615
        vae-precision: fp32
        text_encoder_precision: fp32
        cache: easycache
        cache-option: [thresh=0.5, ret_steps=2]
        threads: 1
        fps: 7
        flow-reverse: yes
        no-vae-tiling: true
        progress: none
        num-videos: null
        teacache: ~

      """
    let folder = TemporaryFolder()
    let (result, report) = try run(yaml, ["--cache-option", "thresh=0.25", "--fps", "12"], in: folder)
    #expect(result.status == 0, "\(result.errors)")
    let settings = try #require(report?["settings"])
    #expect(settings["prompt"].string == "no" && settings["frames_per_second"].int == 12)
    #expect(settings["cache"].string == "easycache" && settings["vae_tiling"].bool == false)
    #expect(settings["cache_options"]["thresh"].string == "0.25")
    #expect(settings["cache_options"]["ret_steps"].string == "2")
    #expect(try String(contentsOfFile: folder.path("r.json"), encoding: .utf8).contains("18446744073709551615"))
  }
}
