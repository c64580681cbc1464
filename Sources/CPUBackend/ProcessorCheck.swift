/// The processor lacks instructions that the program was compiled for.
public struct ProcessorError: Error, CustomStringConvertible {
  /// Names as in `/proc/cpuinfo`.
  public let missing: [String]

  public var description: String {
    "unsupported processor: start: expected AVX2, FMA and F16C (x86-64-v3), found a processor without "
      + "\(missing.joined(separator: ", ")); use a processor from 2015 or later"
  }
}

extension CPUBackend {
  /// Checks that the processor has the instructions that the kernels were compiled for; arm64 always has.
  /// - Throws: `ProcessorError` with what is missing.
  public static func checkProcessor() throws(ProcessorError) {
    #if arch(x86_64)
      let lines = AvailableCores.text("/proc/cpuinfo").split(separator: "\n")
      guard let flags = lines.first(where: { $0.hasPrefix("flags") }) else { return }
      let found = Set(flags.split(separator: " "))
      let missing = ["avx2", "fma", "f16c"].filter { !found.contains(Substring($0)) }
      if !missing.isEmpty { throw ProcessorError(missing: missing) }
    #endif
  }

  /// Whether the processor multiplies bfloat16 numbers faster than float32 numbers, and oneDNN may (`DNNL_MAX_CPU_ISA`).
  public static let hasBFloat16Products: Bool = {
    if OneDNN.hasBFloat16 { return true }
    #if arch(x86_64)
      return false
    #else
      let lines = AvailableCores.text("/proc/cpuinfo").split(separator: "\n")
      let features = lines.first { $0.hasPrefix("Features") } ?? ""
      return features.split(separator: " ").contains("bf16")
    #endif
  }()

  /// Whether the processor multiplies 8-bit integers faster than float32 numbers, and oneDNN may: with AVX512-VNNI or AVX-VNNI,
  /// where that has been measured.
  public static let hasInt8Products = OneDNN.hasInt8
}
