import ArgumentParser
import CPUBackend
import Collectives
import Generation
import TensorCore

/// The flags that choose a device.
struct DeviceOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      """
      The device to compute on: cpu (default), ascend or ascend:INDEX. Of several ranks on a host, the first takes the card \
      INDEX (default 0), the next the one after it. See hyvideo devices.
      """, valueName: "cpu|ascend[:INDEX]"))
  var device: String?
  @Option(help: "Threads. Default: the cores that this process may use.") var threads: Int?
  @Option(
    help: ArgumentHelp(
      """
      The type of the transformer's activations: on an NPU bf16 (default) or fp16, on a CPU fp32 (default), or where it has \
      instructions for that bf16 or int8: then inputs of products with weights of the same type are rounded, which is faster and \
      an approximation (int8 for weights of hyvideo convert --dtype int8).
      """, valueName: "type"))
  var precision: String?
  @Option(
    help: ArgumentHelp(
      "The same of the text encoders: on an NPU fp16 (default) or bf16, on a CPU fp32.", valueName: "type"))
  var textEncoderPrecision: String?
  @Option(
    help: ArgumentHelp(
      "The same of the autoencoder: on an NPU fp16 (default) or bf16, on a CPU fp32.", valueName: "type"))
  var vaePrecision: String?

  /// Opens the device.
  /// - Parameters:
  ///   - session: the ranks, which take a card each.
  ///   - threads: of a CPU where the flag does not say; nil for all cores.
  func open(_ session: RankSession, threads share: Int? = nil) throws -> any ComputeDevice {
    try requireThreads()
    switch try DeviceName(device ?? "cpu") {
    case .cpu:
      return try ProcessorDevice(threads: threads ?? share, precisions: precisions(.cpu))
    case .ascend(let first):
      return try AscendNPU(precisions: precisions(.npu)) { count throws(RequestError) in
        try DevicePlacement(session.greetings).index(of: session.group.rank, first: first, count: count)
      }
    }
  }

  /// How runs on the device are planned, without opening it: it need not be here.
  /// - Parameters:
  ///   - share: threads of a CPU where the flag does not say.
  ///   - ranks: of all hosts.
  func planning(threads share: Int, ranks: Int) throws -> DevicePlanning {
    try requireThreads()
    switch try DeviceName(device ?? "cpu") {
    case .cpu:
      return try ProcessorDevice(threads: threads ?? share, precisions: precisions(.cpu)).planning()
    case .ascend(let first):
      let cards = try PlannedCards(from: first, ranks: ranks)
      var planning = try DevicePlanning.ascend(precisions(.npu), memory: cards.memory, cards: cards.names)
      planning.warnings = cards.warnings
      return planning
    }
  }

  /// Checks `--threads` alone.
  func requireThreads() throws(RequestError) {
    guard let threads else { return }
    try GeneratePlan.require(
      (1...1024).contains(threads), "invalid thread count", "--threads", "1 to 1024", "\(threads)")
  }

  /// The types of activations, checked against what a kind of device computes in.
  private func precisions(_ supported: StagePrecisions.Support) throws(RequestError) -> StagePrecisions {
    var result = supported.usual
    let parts: [(String, String?, WritableKeyPath<StagePrecisions, StagePrecision>)] = [
      ("--precision", precision, \.transformer), ("--text-encoder-precision", textEncoderPrecision, \.textEncoders),
      ("--vae-precision", vaePrecision, \.autoencoder),
    ]
    for (flag, word, part) in parts {
      guard let word else { continue }
      let choices = part == \.transformer ? supported.transformer : supported.others
      guard let choice = choices.first(where: { $0.word == word }) else {
        throw RequestError(
          "unsupported precision", at: flag,
          expected: choices.map(\.word).joined(separator: " or ") + " on this device", found: word,
          remedy: "leave the flag out for the usual one")
      }
      result[keyPath: part] = choice
    }
    return result
  }
}

/// What `--device` names.
enum DeviceName: Equatable {
  case cpu
  /// An NPU, or the first of several.
  case ascend(Int?)

  init(_ text: String) throws(RequestError) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    switch (parts.first, parts.count) {
    case ("cpu", 1): self = .cpu
    case ("ascend", 1): self = .ascend(nil)
    case ("ascend", 2):
      guard let index = Int(parts[1]), (0..<1024).contains(index) else { fallthrough }
      self = .ascend(index)
    default:
      throw RequestError(
        "unknown device", at: "--device", expected: "cpu, ascend or ascend:INDEX", found: text,
        remedy: "for example --device cpu; hyvideo devices lists what is there")
    }
  }
}
