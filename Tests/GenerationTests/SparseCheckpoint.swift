import Checkpoints
import Foundation
import Generation

/// The published files as holes: directories of the real sizes, without a byte of weights.
enum SparseCheckpoint {
  static func write(toFolder folder: String, tokenizersOf demo: String) throws {
    let manager = FileManager.default
    for network in RandomNetwork.allCases { try network.writeHoles(toFolder: folder, format: .bf16) }
    for part in ["text_encoder", "text_encoder_2"] {
      for name in try manager.contentsOfDirectory(atPath: demo + "/" + part)
      where name.contains("token") || ["vocab.json", "merges.txt"].contains(name) {
        try manager.copyItem(atPath: "\(demo)/\(part)/\(name)", toPath: "\(folder)/\(part)/\(name)")
      }
    }
  }
}
