import ArgumentParser
import Generation

/// The flags of `hyvideo generate`, in the groups that `--help` shows. Names are those that HunyuanVideo's users know.
struct PromptOptions: ParsableArguments {
  @Option(help: "What the video shows.") var prompt: String?
  @Option(help: ArgumentHelp("A file with one prompt per line; a video is made of each.", valueName: "file"))
  var promptFile: String?
  @Option(help: "What it must not show; used with --cfg-scale above 1. Default: the checkpoint's.")
  var negPrompt: String?
  @Option(
    name: .customLong("seed"),
    help: "Seed of the noise. Default, or with -1: drawn once and printed. Video j of a prompt uses seed + j.",
    transform: Seed.init(text:))
  var givenSeed: Seed?
  @Option(help: "Videos per prompt. Default: 1.") var numVideos: Int?

  /// Nil where one is to be drawn.
  var seed: UInt64? {
    get { givenSeed?.value }
    set { givenSeed = newValue.map { .fixed($0) } }
  }
}

/// Of a checkpoint, what decoding needs.
struct AutoencoderOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Checkpoint folder. Default: that of the saved run where there is one, else the bundled demo.",
      valueName: "folder"))
  var model: String?
  @Option(help: ArgumentHelp("Autoencoder weights to use instead of the folder's.", valueName: "path"))
  var vaePath: String?
}

struct CheckpointOptions: ParsableArguments {
  @OptionGroup var autoencoder: AutoencoderOptions
  @Option(help: ArgumentHelp("Transformer weights to use instead of the folder's.", valueName: "path"))
  var ditWeight: String?
  @Option(
    help: ArgumentHelp(
      "The key of the transformer's weights in a PyTorch file: module, ema, … Default: the first of these.",
      valueName: "key"))
  var loadKey: String?
  @Option(help: ArgumentHelp("LLaMA weights to use instead of the folder's.", valueName: "path"))
  var textEncoderPath: String?
  @Option(
    name: .customLong("text-encoder-2-path"),
    help: ArgumentHelp("CLIP weights to use instead of the folder's.", valueName: "path"))
  var textEncoder2Path: String?
  @Option(help: ArgumentHelp("Folder with LLaMA's tokenizer, where it is not beside the weights.", valueName: "folder"))
  var tokenizerPath: String?
  @Option(
    name: .customLong("tokenizer-2-path"),
    help: ArgumentHelp("Folder with CLIP's tokenizer, where it is not beside the weights.", valueName: "folder"))
  var tokenizer2Path: String?

  var model: String? {
    get { autoencoder.model }
    set { autoencoder.model = newValue }
  }
  var vaePath: String? {
    get { autoencoder.vaePath }
    set { autoencoder.vaePath = newValue }
  }

  /// The parts that flags name.
  var parts: ModelParts {
    var parts = ModelParts(transformer: ditWeight)
    (parts.autoencoder, parts.textEncoder, parts.textEncoder2) = (vaePath, textEncoderPath, textEncoder2Path)
    (parts.tokenizer, parts.tokenizer2) = (tokenizerPath, tokenizer2Path)
    parts.loadKey = loadKey
    return parts
  }
}

struct VideoOptions: ParsableArguments {
  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      "Height and width in pixels, rounded up to multiples of 16. Default: the checkpoint's.", valueName: "pixels"))
  var videoSize: [Int] = []
  @Option(help: "Frames, 4n+1; 1 makes a picture. Default: the checkpoint's.") var videoLength: Int?
  @Option(help: "Frames per second of the file. Default: the checkpoint's.") var fps: Int?
}

struct SamplingOptions: ParsableArguments {
  @Option(help: "Denoising steps. Default: the checkpoint's.") var inferSteps: Int?
  @Option(help: "True guidance: above 1 the network also runs on the negative prompt, at twice the time.")
  var cfgScale: Float?
  @Option(help: "The guidance scale that the distilled network takes as an input.") var embeddedCfgScale: Float?
  @Option(help: "Above 1, more steps are spent at high noise.") var flowShift: Float?
  @Flag(inversion: .prefixedNo, help: "Run from noise to data, as the published weights need. Default: on.")
  var flowReverse: Bool?
}

struct RunOptions: ParsableArguments {
  @Flag(
    help: """
      Keep weights on disk and read each block ahead of its use, so that memory holds a few blocks. On by itself where the \
      transformer is larger than half of the memory.
      """)
  var useCpuOffload = false
  @Flag(
    name: .long, inversion: .prefixedNo,
    help: "Decode large videos in overlapping tiles (default); without, memory grows with the video.")
  var vaeTiling: Bool?
  @Option(
    help: ArgumentHelp(
      """
      Save the run every so many steps, beside its output as NAME.run.safetensors; 0 only when it is stopped and before \
      decoding. Default: every minute of runs over 5 minutes.
      """, valueName: "steps"))
  var checkpointEvery: Int?
  @Flag(help: "Do not search the results of blocks for NaN and infinity.") var noCheck = false
  @OptionGroup var progress: ProgressOptions
  @Option(
    help: ArgumentHelp(
      "Every so many steps, write what the video will look like, small: beside the output, as NAME.preview.png.",
      valueName: "steps"))
  var preview: Int?
  @Option(help: ArgumentHelp("Go on with a saved run; its settings need not be given again.", valueName: "file"))
  var resume: String?

  /// Checks `--preview` and `--checkpoint-every`.
  func requireIntervals() throws(RequestError) {
    for (flag, interval, least) in [("--preview", preview, 1), ("--checkpoint-every", checkpointEvery, 0)] {
      guard let interval else { continue }
      try GeneratePlan.require(
        (least...10_000).contains(interval), "invalid interval", flag, "\(least) to 10000", "\(interval)")
    }
  }
}

struct OutputOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Folder for videos that are named by time, seed and prompt. Default: ./results.", valueName: "folder"))
  var savePath: String?
  @Option(
    help: ArgumentHelp(
      "One output: a file ending in .mp4, or a folder (ending in /) for PNG frames.", valueName: "path"))
  var output: String?
  @Option(
    help: ArgumentHelp(
      "Start from this noise: safetensors, key latents, float32 [1, 16, F', H/8, W/8].", valueName: "file"))
  var initialNoise: String?
  @Option(help: ArgumentHelp("Write the latents of every step as safetensors.", valueName: "file"))
  var saveLatents: String?
  @Option(
    help: ArgumentHelp(
      "Write the frames before quantization as safetensors, key video, float32 [1, 3, F, H, W].", valueName: "file"))
  var saveFrames: String?
  @Option(help: ArgumentHelp("Write settings, times and memory as JSON.", valueName: "file")) var report: String?
  @Option(
    help: ArgumentHelp(
      "Record the run and write it as a trace for Perfetto, Chrome and hyvideo profile.", valueName: "file.json"))
  var profile: String?
  @Flag(
    help: """
      Record the transformer's steps alone; without --profile the trace goes beside the output, as NAME.trace.json.
      """)
  var profDit = false
}
