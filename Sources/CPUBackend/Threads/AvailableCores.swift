#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The processor that the program may use.
public enum AvailableCores {
  /// Cores granted by the affinity mask and by the control group's quota, at least 1.
  public static let count: Int = max(1, min(processors.count, quota ?? .max))

  /// The numbers of the cores that the affinity mask grants.
  public static let processors: [Int] = {
    let lines = text("/proc/self/status").split(separator: "\n")
    let list = lines.first { $0.hasPrefix("Cpus_allowed_list:") }?.dropFirst("Cpus_allowed_list:".count) ?? ""
    let online = Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    let granted = numbers(trimmed(String(list)))
    return granted.isEmpty ? Array(0..<max(1, online)) : granted
  }()

  /// The numbers of a list such as `0-3,8`.
  private static func numbers(_ list: String) -> [Int] {
    list.split(separator: ",").flatMap { part -> [Int] in
      let ends = part.split(separator: "-").compactMap { Int($0) }
      guard let first = ends.first, let last = ends.last, first <= last, last < 1 << 16 else { return [] }
      return Array(first...last)
    }
  }

  /// Whole cores that the quotas of the control group and its parents add up to: version 2, then version 1.
  public static var quota: Int? {
    var smallest: Int?
    func consider(_ quota: Double, _ period: Double) {
      if quota > 0, period > 0 { smallest = min(smallest ?? .max, Int((quota / period).rounded(.up))) }
    }
    let lines = text("/proc/self/cgroup").split(separator: "\n")
    var group = lines.first { $0.hasPrefix("0::") }.map { String($0.dropFirst(3)) } ?? "/"
    while true {
      let numbers = text("/sys/fs/cgroup\(group == "/" ? "" : group)/cpu.max").split(separator: " ").map(String.init)
      if numbers.count == 2 { consider(Double(numbers[0]) ?? 0, Double(trimmed(numbers[1])) ?? 0) }
      guard group.count > 1, let slash = group.lastIndex(of: "/") else { break }
      group = slash == group.startIndex ? "/" : String(group[..<slash])
    }
    let old = "/sys/fs/cgroup/cpu/cpu.cfs_"
    consider(Double(trimmed(text(old + "quota_us"))) ?? 0, Double(trimmed(text(old + "period_us"))) ?? 0)
    return smallest
  }

  private static func trimmed(_ text: String) -> String { String(text.filter { !$0.isWhitespace }) }

  /// The beginning of a small system file; empty where there is none.
  static func text(_ path: String) -> String {
    guard let file = fopen(path, "r") else { return "" }
    defer { fclose(file) }
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    let count = fread(&buffer, 1, buffer.count, file)
    return String(decoding: buffer[..<count], as: UTF8.self)
  }
}
