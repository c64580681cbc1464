import ArgumentParser
import Foundation

/// A number of bytes on a command line: `8GiB`, `500M`, `1000000`.
struct ByteCount: ExpressibleByArgument {
  let bytes: Int

  /// Powers of 1000, with `i` of 1024, with or without `B`.
  init?(argument: String) {
    let text = argument.trimmingCharacters(in: .whitespaces)
    let number = text.prefix { $0.isNumber || $0 == "." }
    var unit = text.dropFirst(number.count).uppercased().trimmingCharacters(in: .whitespaces)
    if unit.hasSuffix("B") { unit.removeLast() }
    let base: Double = unit.hasSuffix("I") ? 1024 : 1000
    if unit.hasSuffix("I") { unit.removeLast() }
    guard let value = Double(number), let power = ["", "K", "M", "G", "T"].firstIndex(of: unit) else { return nil }
    if power == 0 && base == 1024 { return nil }
    let bytes = value * pow(base, Double(power))
    guard bytes >= 1, bytes < 0x1p62 else { return nil }
    self.bytes = Int(bytes)
  }

  /// For people: `24.5 MB`, `1.06 GB`.
  static func text(_ bytes: Int) -> String {
    let value = Double(bytes)
    switch value {
    case ..<1e3: return "\(bytes) B"
    case ..<1e6: return number(value / 1e3) + " kB"
    case ..<1e9: return number(value / 1e6) + " MB"
    case ..<1e12: return number(value / 1e9) + " GB"
    default: return number(value / 1e12) + " TB"
    }
  }

  private static func number(_ value: Double) -> String {
    String(format: value < 10 ? "%.2f" : value < 100 ? "%.1f" : "%.0f", value)
  }
}
