import AscendBackend
import CPUBackend
import Foundation

/// What there is to compute on.
struct DeviceList: Encodable {
  struct Processor: Encodable {
    let name = "cpu"
    let processor: String?
    let cores: Int
    let instructions: [String]
    let memoryBytes: UInt64
    let onednn: String
    /// Why it cannot be used; nil where it can.
    let absent: String?
  }

  struct NPU: Encodable {
    let name: String
    let chip: String?
    let totalBytes: Int?
    let freeBytes: Int?
    let absent: String?
    /// What is to be said of its chip; nil where that is known.
    let warning: String?
  }

  struct Toolkit: Encodable {
    let version: String?
    let libraries: [String]
  }

  let cpu: Processor
  let ascend: [NPU]
  /// Nil where no library of CANN was found.
  let cann: Toolkit?
  /// Why there are no NPUs; nil where there are.
  let ascendAbsent: String?

  init(environment: [String: String] = ProcessInfo.processInfo.environment) {
    cpu = Self.processor()
    do {
      let system = try AscendSystem(environment: environment)
      cann = Toolkit(version: system.toolkitVersion, libraries: system.libraries.paths)
      do {
        let count = try system.deviceCount()
        ascend = (0..<count).map { Self.npu($0, of: system) }
        ascendAbsent = count == 0 ? "CANN knows no device; see whether npu-smi info lists one" : nil
      } catch { (ascend, ascendAbsent) = ([], "\(error)") }
    } catch { (ascend, cann, ascendAbsent) = ([], nil, "\(error)") }
  }

  private static func processor() -> Processor {
    var absent: String?
    do { try CPUBackend.checkProcessor() } catch { absent = "\(error)" }
    return Processor(
      processor: ProcessorName.current, cores: AvailableCores.count, instructions: ProcessorName.instructions,
      memoryBytes: ProcessInfo.processInfo.physicalMemory, onednn: CPUBackend.libraryVersion, absent: absent)
  }

  private static func npu(_ index: Int, of system: AscendSystem) -> NPU {
    let name = "ascend:\(index)"
    do {
      let status = try system.status(of: index)
      return NPU(
        name: name, chip: status.chip, totalBytes: status.totalBytes, freeBytes: status.freeBytes, absent: nil,
        warning: AscendSystem.doubt(aboutChip: status.chip))
    } catch {
      return NPU(name: name, chip: nil, totalBytes: nil, freeBytes: nil, absent: "\(error)", warning: nil)
    }
  }

  // MARK: Printing

  var text: String {
    var lines = [
      "cpu       \(cpu.processor ?? "unknown processor"), \(cpu.cores) \(cpu.cores == 1 ? "core" : "cores"), "
        + "\(cpu.instructions.joined(separator: " ")), \(ByteCount.text(Int(clamping: cpu.memoryBytes))), "
        + "oneDNN \(cpu.onednn)"
    ]
    if let absent = cpu.absent { lines.append("          cannot be used: \(absent)") }
    for npu in ascend {
      let name = npu.name.padding(toLength: max(npu.name.count, 9), withPad: " ", startingAt: 0)
      if let chip = npu.chip, let total = npu.totalBytes, let free = npu.freeBytes {
        lines.append("\(name) \(chip), \(ByteCount.text(total)), of which \(ByteCount.text(free)) are free")
      } else {
        lines.append("\(name) cannot be used: \(npu.absent ?? "unknown")")
      }
      if let warning = npu.warning { lines.append("          warning: \(warning)") }
    }
    if let cann {
      lines.append("CANN      \(cann.version ?? "of an unknown version"): \(cann.libraries.joined(separator: ", "))")
    }
    if let ascendAbsent { lines.append("ascend    absent: \(ascendAbsent)") }
    return lines.joined(separator: "\n")
  }

  func json() throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    return String(decoding: try encoder.encode(self), as: UTF8.self)
  }
}

/// The host's processor, as the system names it.
enum ProcessorName {
  static var current: String? { line("model name") ?? line("CPU part") }

  /// Of the instruction sets that matter here, those that it has.
  static var instructions: [String] {
    let names = ["avx2", "fma", "f16c", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16", "sve"]
    let flags = Set((line("flags") ?? line("Features") ?? "").split(separator: " ").map(String.init))
    return names.filter(flags.contains)
  }

  private static func line(_ key: String) -> String? {
    guard let text = try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8) else { return nil }
    let line = text.split(separator: "\n").first { $0.hasPrefix(key) }
    return line?.split(separator: ":", maxSplits: 1).last.map { $0.trimmingCharacters(in: .whitespaces) }
  }
}
