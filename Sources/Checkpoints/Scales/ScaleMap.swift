import TensorCore

/// The file of factors beside Tencent's 8-bit release: `NAME_map.pt` for `NAME.pt`, also as a safetensors file.
enum ScaleMap {
  private static let endings = [".pt", ".pth", ".safetensors"]

  /// Names of a folder's files without those of maps whose weights are there too.
  static func removed(from names: [String]) -> [String] {
    let stems = Set(names.compactMap(stem))
    return names.filter { name in
      guard let stem = stem(name), stem.hasSuffix("_map") else { return true }
      return !stems.contains(String(stem.dropLast(4)))
    }
  }

  private static func stem(_ name: String) -> String? {
    endings.first { name.hasSuffix($0) }.map { String(name.dropLast($0.count)) }
  }

  /// Takes the factors from the map beside a file of weights. A PyTorch file with 8-bit weights must have one, or hold
  /// factors itself: no release in this format means the bare numbers.
  static func add(
    to scales: inout ScaleTable, of file: any CheckpointFile, _ tensors: [CheckpointTensor]
  ) throws(CheckpointError) {
    guard tensors.contains(where: { $0.dtype == .float8E4M3 }), let stem = stem(file.path) else { return }
    for ending in endings where FileSystem.kind(of: "\(stem)_map\(ending)") == .file {
      let map = try CheckpointFormat.open("\(stem)_map\(ending)", loadKey: nil)
      let numbers = (map as? PyTorchFile)?.numbers ?? [:]
      return try scales.add(map: map, numbers: numbers, weights: Set(tensors.map(\.name)))
    }
    if file is PyTorchFile {
      scales.declareIfEmpty("8-bit numbers in a PyTorch file, whose map is \(FileSystem.name(of: stem))_map.pt")
    }
  }
}
