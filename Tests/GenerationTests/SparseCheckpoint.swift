import Foundation
import Generation
import HunyuanVideo
import TensorCore

/// The published files as holes: directories of the real sizes, without a byte of weights.
enum SparseCheckpoint {
  static func write(toFolder folder: String, tokenizersOf demo: String) throws {
    let manager = FileManager.default
    for network in RandomNetwork.allCases {
      let path = folder + "/" + network.path
      try manager.createDirectory(
        atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
      var (entries, offset): ([String], Int) = ([], 0)
      for parameter in network.parameters {
        let end = offset + 2 * parameter.shape.count
        let place = "\"shape\":\(parameter.shape.dimensions),\"data_offsets\":[\(offset),\(end)]"
        entries.append("\"\(parameter.name)\":{\"dtype\":\"BF16\",\(place)}")
        offset = end
      }
      var header = Data("{\(entries.joined(separator: ","))}".utf8)
      while header.count % 8 != 0 { header.append(UInt8(ascii: " ")) }
      let length = withUnsafeBytes(of: UInt64(header.count).littleEndian) { Data($0) }
      _ = manager.createFile(atPath: path, contents: length + header)
      let file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
      try file.truncate(atOffset: UInt64(8 + header.count + offset))
      try file.close()
    }
    for part in ["text_encoder", "text_encoder_2"] {
      for name in try manager.contentsOfDirectory(atPath: demo + "/" + part)
      where name.contains("token") || ["vocab.json", "merges.txt"].contains(name) {
        try manager.copyItem(atPath: "\(demo)/\(part)/\(name)", toPath: "\(folder)/\(part)/\(name)")
      }
    }
  }
}
