import ArgumentParser
import Checkpoints
import Foundation
import Generation
import HunyuanVideo

struct ConvertCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert",
    abstract: "Writes a network's weights as safetensors or GGUF in Tencent's names, in another type.",
    discussion: """
      Example: hyvideo convert hunyuan_video_t2v_720p_bf16.safetensors --dtype fp8 --output transformer.safetensors
      Memory does not depend on the size. The file appears under its name when it is whole. fp8 has a factor for each \
      matrix and int8 one for each row; q8_0 and q4_k are GGUF's blocks of 8 and 4 bits. All four are for the matrices of \
      the blocks, the rest becomes bf16.
      """)

  @Argument(help: ArgumentHelp("A network's file or folder, in any layout that is read.", valueName: "path"))
  var path: String?
  @Option(help: ArgumentHelp("The key of the weights in a PyTorch file: module, ema, …", valueName: "key"))
  var loadKey: String?
  @Option(help: "The type of the numbers: bf16, f16, fp8, int8, q8_0 or q4_k.") var dtype = "bf16"
  @Option(
    help: ArgumentHelp(
      "The file to write, ending in .safetensors (.gguf for q8_0 and q4_k); with --random, a folder.", valueName: "path"
    ))
  var output: String
  @Option(
    help: ArgumentHelp(
      "Write random weights of the published sizes instead: hyvideo-t2, llama-3-8b, clip-l, vae or all.",
      valueName: "network"))
  var random: String?
  @Flag(
    help: """
      With --random: write the files' directories alone, with holes for the weights, which take no space. That is enough for \
      hyvideo plan and inspect.
      """)
  var holes = false

  func run() throws {
    guard let format = StorageFormat(rawValue: dtype) else {
      throw Self.refused("unknown type", "--dtype", StorageFormat.allCases.map(\.rawValue), dtype)
    }
    if holes && random == nil {
      throw Self.refused("nothing to leave out", "--holes", ["--random"], "a path")
    }
    switch (path, random) {
    case (nil, let name?): try writeRandom(name, format)
    case (let path?, nil): try convert(path, format)
    default:
      throw Self.refused("two or no sources", "convert", ["a path", "--random"], path == nil ? "none" : "both")
    }
  }

  private func writeRandom(_ name: String, _ format: StorageFormat) throws {
    let networks = name == "all" ? RandomNetwork.allCases : RandomNetwork(rawValue: name).map { [$0] } ?? []
    if networks.isEmpty {
      throw Self.refused("unknown network", "--random", RandomNetwork.allCases.map(\.rawValue) + ["all"], name)
    }
    if format.blocks != nil {
      throw Self.refused(
        "unsupported type", "--dtype", StorageFormat.allCases.filter { $0.blocks == nil }.map(\.rawValue), dtype)
    }
    for network in networks {
      let progress = ByteProgress(network.rawValue)
      if holes {
        try network.writeHoles(toFolder: output, format: format)
      } else {
        try network.write(toFolder: output, format: format) { progress.report($0, of: $1) }
      }
      try Console.result("\(output)/\(network.path)")
    }
  }

  private func convert(_ path: String, _ format: StorageFormat) throws {
    let network = try RefusedBeforeWork.checking {
      if ModelFolder.isModel(path) {
        throw Self.refused("several networks", path, ["the file or folder of one network"], "a checkpoint folder")
      }
      let suffix = format.blocks == nil ? ".safetensors" : ".gguf"
      if !output.hasSuffix(suffix) {
        throw Self.refused("unknown output", "--output", ["a file ending in \(suffix) for \(dtype)"], output)
      }
      let checkpoint = try Checkpoint(path: path, loadKey: loadKey)
      if checkpoint.files.contains(where: { Self.isSame($0, output) }) {
        throw Self.refused("input is output", "--output", ["another file than the one that is read"], output)
      }
      return try PublishedNetwork(checkpoint)
    }
    let progress = ByteProgress(network.names.network.rawValue)
    let fidelities = try CheckpointConversion(network, format: format).write(to: output) {
      progress.report($0, of: $1)
    }
    try copyConfiguration(of: network)
    for fidelity in fidelities {
      try Console.result(
        "\(fidelity.kind): \(fidelity.format), \(fidelity.count) numbers, relative error "
          + String(format: "%.2e", fidelity.relativeError))
    }
    try Console.result(output)
  }

  /// Sizes that the tensors do not tell are beside the source; they go beside the result, where there are none yet.
  private func copyConfiguration(of network: PublishedNetwork) throws {
    guard let source = network.configuration?.file else { return }
    let target = FileSystem.folder(of: output) + "/config.json"
    if FileManager.default.fileExists(atPath: target) { return }
    try FileManager.default.copyItem(atPath: source, toPath: target)
  }

  private static func isSame(_ first: String, _ second: String) -> Bool {
    URL(fileURLWithPath: first).resolvingSymlinksInPath().path
      == URL(fileURLWithPath: second).resolvingSymlinksInPath().path
  }

  private static func refused(_ what: String, _ place: String, _ expected: [String], _ found: String) -> RequestError {
    RequestError(
      what, at: place, expected: expected.joined(separator: ", "), found: found, remedy: "see hyvideo convert --help")
  }
}

/// Lines on standard error that tell how much of a file is written.
private final class ByteProgress {
  private let name: String
  private let clock = ContinuousClock()
  private let start: ContinuousClock.Instant
  private var lastLine: ContinuousClock.Instant

  init(_ name: String) {
    self.name = name
    start = clock.now
    lastLine = start
  }

  func report(_ done: Int, of total: Int) {
    let now = clock.now
    if done < total && lastLine.duration(to: now) < .seconds(2) { return }
    lastLine = now
    let seconds = start.duration(to: now) / .seconds(1)
    let (unit, size) = total < 1_000_000_000 ? ("MB", 1e6) : ("GB", 1e9)
    let line = String(
      format: "%@: %.2f of %.2f %@, %.0f MB/s\n", name, Double(done) / size, Double(total) / size, unit,
      Double(done) / 1e6 / max(seconds, 1e-3))
    Console.error(line)
  }
}
