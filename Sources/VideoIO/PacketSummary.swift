/// What `ffmpeg`'s `framecrc` output tells about a stream: lines `#dimensions 0: 64x48` and `#tb 0: 1/12288`, then a
/// line per frame, `stream, dts, pts, duration, size, checksum`.
struct PacketSummary {
  private(set) var width: Int?
  private(set) var height: Int?
  private(set) var count = 0
  private(set) var framesPerSecond: Double?

  init(_ text: [UInt8]) {
    var timeBase = 0.0
    var duration = 0.0
    for line in String(decoding: text, as: UTF8.self).split(whereSeparator: \.isNewline) {
      if let value = PacketSummary.value(of: "#dimensions", line) {
        let parts = value.split(separator: "x").map { Int($0) }
        if parts.count == 2 {
          width = parts[0]
          height = parts[1]
        }
      } else if let value = PacketSummary.value(of: "#tb", line) {
        let parts = value.split(separator: "/").compactMap { Double($0) }
        if parts.count == 2 && parts[1] > 0 { timeBase = parts[0] / parts[1] }
      } else if !line.hasPrefix("#") {
        let fields = line.split(separator: ",").map { $0.drop { $0 == " " } }
        if fields.count < 4 { continue }
        count += 1
        duration += Double(fields[3]) ?? 0
      }
    }
    if duration * timeBase > 0 { framesPerSecond = Double(count) / (duration * timeBase) }
  }

  private static func value(of key: String, _ line: Substring) -> Substring? {
    line.hasPrefix(key + " 0: ") ? line.dropFirst(key.count + 4) : nil
  }
}
