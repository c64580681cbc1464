import ArgumentParser
import CPUBackend
import Checkpoints
import Foundation
import Generation
import HunyuanVideo
import Layers

struct ConvertCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert",
    abstract: "Writes a network or a whole checkpoint in Tencent's names and arrangement, in another type.",
    discussion: """
      One network: hyvideo convert hunyuan_video_t2v_720p_bf16.safetensors --dtype fp8 --output transformer.safetensors
      A whole checkpoint of any layout, to be used with --model: hyvideo convert HunyuanVideo --dtype fp8 --output ckpts
      Memory does not depend on the size. A result appears under its name when it is whole. fp8 has a factor for each \
      matrix and int8 one for each row; q8_0 and q4_k are GGUF's blocks of 8 and 4 bits. All four are for the matrices of \
      the blocks, the rest becomes bf16. Of a whole checkpoint the type is for the transformer and the language model.
      """)

  @Argument(
    help: ArgumentHelp(
      "A network's file or folder, or a checkpoint folder, in any layout that is read.", valueName: "path"))
  var path: String?
  @Option(
    help: """
      The type of the numbers: f32, bf16, f16, fp8, int8, q8_0, q4_k, or keep, which makes bf16 of 8-bit numbers and blocks \
      alone. Default: keep; with --random, bf16.
      """)
  var dtype: String?
  @Option(
    help: ArgumentHelp(
      """
      The file to write, ending in .safetensors (.gguf for q8_0 and q4_k); of a whole checkpoint and with --random, a folder.
      """, valueName: "path"))
  var output: String
  @OptionGroup(title: "Checkpoint") var checkpoint: CheckpointOptions
  @Option(
    help: ArgumentHelp(
      "Write random weights of the published sizes instead: hyvideo-t2, llama-3-8b, clip-l, vae or all.",
      valueName: "network"))
  var random: String?
  @Flag(
    help: """
      With --random: write the files' directories alone, with holes for the weights, which take no space. That is enough for \
      hyvideo inspect, and with tokenizers (--tokenizer-path, --tokenizer-2-path) for hyvideo plan.
      """)
  var holes = false
  @Option(help: "With --random: double blocks of the transformer. Default: 20.") var doubleBlocks: Int?
  @Option(help: "With --random: single blocks of the transformer. Default: 40.") var singleBlocks: Int?

  func run() throws {
    let format = try RefusedBeforeWork.checking { try chosenFormat() }
    if holes && random == nil {
      throw Self.refused("nothing to leave out", "--holes", ["--random"], "a path")
    }
    switch (path ?? checkpoint.model, random) {
    case (nil, let name?): try writeRandom(name, format)
    case (let path?, nil) where self.path == nil || checkpoint.model == nil:
      try requireUnused(
        [("--double-blocks", doubleBlocks != nil), ("--single-blocks", singleBlocks != nil)], "--random")
      if ModelFolder.isModel(path) || checkpoint.model != nil {
        try convertFolder(path, format)
      } else {
        try convertNetwork(path, format)
      }
    default:
      throw Self.refused(
        "two or no sources", "convert", ["a path", "--random"], path == nil && random == nil ? "none" : "two")
    }
  }

  /// - Returns: nil to keep types.
  private func chosenFormat() throws(RequestError) -> StorageFormat? {
    guard let dtype else { return random == nil ? nil : .bf16 }
    if dtype == "keep" && random == nil { return nil }
    guard let format = StorageFormat(rawValue: dtype) else {
      let names = StorageFormat.allCases.map(\.rawValue) + (random == nil ? ["keep"] : [])
      throw Self.refused("unknown type", "--dtype", names, dtype)
    }
    return format
  }

  // MARK: Random weights

  private func writeRandom(_ name: String, _ format: StorageFormat?) throws {
    let networks = name == "all" ? RandomNetwork.allCases : RandomNetwork(rawValue: name).map { [$0] } ?? []
    if networks.isEmpty {
      throw Self.refused("unknown network", "--random", RandomNetwork.allCases.map(\.rawValue) + ["all"], name)
    }
    guard let format, format.blocks == nil else {
      throw Self.refused(
        "unsupported type", "--dtype", StorageFormat.allCases.filter { $0.blocks == nil }.map(\.rawValue),
        dtype ?? "none")
    }
    try requireUnused(partFlags, "a checkpoint")
    for (flag, count) in [("--double-blocks", doubleBlocks), ("--single-blocks", singleBlocks)] {
      guard let count else { continue }
      if !networks.contains(.hyvideoT2) { try requireUnused([(flag, true)], "hyvideo-t2") }
      if !(1...1000).contains(count) { throw Self.refused("impossible depth", flag, ["1 to 1000"], "\(count)") }
    }
    let depth = RandomNetwork.Depth(doubleBlocks: doubleBlocks, singleBlocks: singleBlocks)
    try RefusedBeforeWork.checking { try requirePlace() }
    if !holes { try requireSpace(networks.reduce(0) { $0 + $1.byteCount(format, depth: depth) }) }
    for network in networks {
      if holes {
        try network.writeHoles(toFolder: output, format: format, depth: depth)
      } else {
        let progress = ByteProgress()
        try network.write(toFolder: output, format: format, depth: depth) {
          progress.report(network.rawValue, $0, of: $1)
        }
      }
      try Console.written(path: "\(output)/\(network.path)")
    }
  }

  // MARK: One network

  private func convertNetwork(_ path: String, _ format: StorageFormat?) throws {
    let (network, conversion) = try RefusedBeforeWork.checking {
      try requireUnused(partFlags.filter { $0.flag != "--load-key" }, "a checkpoint folder")
      let checkpoint = try Checkpoint(path: path, loadKey: checkpoint.loadKey)
      let network = try PublishedNetwork(checkpoint)
      let conversion = try CheckpointConversion(network, format: format)
      if !output.hasSuffix(conversion.suffix) {
        throw Self.refused(
          "unknown output", "--output", ["a file ending in \(conversion.suffix) for \(dtype ?? "keep")"], output)
      }
      if FileSystem.isFolder(output) { throw Self.refused("output is a folder", "--output", ["a file"], output) }
      if checkpoint.files.contains(where: { Self.isSame($0, output) }) {
        throw Self.refused("input is output", "--output", ["another file than the one that is read"], output)
      }
      try OutputPlan.requireReplaceable(output, flag: "--output")
      try OutputPlan.claim(output)
      try requireSpace(conversion.byteCount)
      return (network, conversion)
    }
    let progress = ByteProgress()
    let fidelities = try conversion.write(to: output) {
      progress.report(network.names.network.rawValue, $0, of: $1)
    }
    try conversion.writeConfiguration(inFolder: FileSystem.folder(of: output))
    try report(fidelities)
    try Console.written(path: output)
  }

  // MARK: A whole checkpoint

  private func convertFolder(_ path: String, _ format: StorageFormat?) throws {
    let conversion = try RefusedBeforeWork.checking {
      let model = try ModelFolder(path, parts: checkpoint.parts)
      let conversion = try FolderConversion(model, format: format)
      // What does not fit together is told before the copy, not after.
      try VideoPipeline(model, in: ForwardContext(backend: CPUBackend()), observer: QuietObserver()).verify([])
      if let obstacle = FolderConversion.obstacle(at: output) {
        throw Self.refused("output is taken", "--output", ["a folder that is not there yet, or empty"], obstacle)
      }
      try requirePlace()
      try requireSpace(conversion.byteCount)
      return conversion
    }
    let progress = ByteProgress()
    try conversion.write(
      to: output, progress: { progress.report($0, $1, of: $2) },
      done: { network, fidelities in
        try Console.written("\(network.names.network.title), \(network.checkpoint.path)")
        try report(fidelities)
      })
    try Console.written(path: output)
  }

  // MARK: Both

  private func report(_ fidelities: [CheckpointConversion.Fidelity]) throws {
    for fidelity in fidelities {
      try Console.written(
        "\(fidelity.kind): \(fidelity.format), \(fidelity.count) numbers, relative error "
          + String(format: "%.2e", fidelity.relativeError))
    }
  }

  /// The folder that is written must be one that can be made, and nobody else's.
  private func requirePlace() throws {
    let path = output.hasSuffix("/") ? String(output.dropLast()) : output
    try OutputPlan.requireReachable(path)
    try OutputPlan.requireWritable(folder: OutputPlan.folder(of: path))
    try OutputPlan.claim(path)
  }

  private func requireSpace(_ needed: Int) throws(RequestError) {
    let folder = FileSystem.isFolder(output) ? output : FileSystem.folder(of: output)
    guard let free = FileSystem.freeByteCount(at: folder), free < needed else { return }
    throw RequestError(
      "disk is full", at: output, expected: "\(ByteCount.text(needed)) free", found: ByteCount.text(free),
      remedy: "choose a smaller --dtype or another disk")
  }

  /// The flags that name parts of a checkpoint, and whether they are given.
  private var partFlags: [(flag: String, isGiven: Bool)] {
    let parts = checkpoint.parts
    return [
      ("--load-key", parts.loadKey), ("--dit-weight", parts.transformer), ("--vae-path", parts.autoencoder),
      ("--text-encoder-path", parts.textEncoder), ("--text-encoder-2-path", parts.textEncoder2),
      ("--tokenizer-path", parts.tokenizer), ("--tokenizer-2-path", parts.tokenizer2),
    ].map { ($0, $1 != nil) }
  }

  private func requireUnused(_ flags: [(flag: String, isGiven: Bool)], _ wanted: String) throws(RequestError) {
    for (flag, isGiven) in flags where isGiven {
      throw Self.refused("unused flag", flag, [wanted], "none")
    }
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

/// Is told of nothing: no video is made.
final class QuietObserver: GenerationObserver {}

/// Lines on standard error that tell how much of a file is written.
private final class ByteProgress {
  private var name = ""
  private let clock = ContinuousClock()
  private var start: ContinuousClock.Instant
  private var lastLine: ContinuousClock.Instant
  private var lastReport: ContinuousClock.Instant

  init() {
    start = clock.now
    (lastLine, lastReport) = (start, start)
  }

  /// - Parameter name: of the network; with another one, time is counted anew.
  func report(_ name: String, _ done: Int, of total: Int) {
    let now = clock.now
    if self.name != name {
      if !self.name.isEmpty { (start, lastLine) = (lastReport, lastReport) }
      self.name = name
    }
    lastReport = now
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
