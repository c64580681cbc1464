import StrictJSON
import TensorCore

/// The first bytes of a file, which tell formats apart. Names of files tell nothing: weights are downloaded and renamed.
struct FileStart {
  /// As many as the formats here need, and a server's message fits in.
  private static let byteCount = 512
  private let bytes: [UInt8]

  init(of path: String) throws(CheckpointError) {
    var bytes = [UInt8](repeating: 0, count: FileStart.byteCount)
    let count = try DescriptorFile(reading: path).read(FileStart.byteCount, into: &bytes, at: 0)
    self.init(bytes.prefix(count))
  }

  init(_ bytes: some Sequence<UInt8>) { self.bytes = Array(bytes.prefix(FileStart.byteCount)) }

  private func starts(_ text: StaticString) -> Bool {
    text.withUTF8Buffer { bytes.starts(with: $0) }
  }

  /// The format of weights that begins so; nil for every other.
  var format: CheckpointFormat? {
    // A header may be as long as to begin like a zip archive: what tells it is the object after its length.
    if bytes.count > 8, bytes[8] == UInt8(ascii: "{") {
      let length = bytes.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      if length <= UInt64(SafetensorsHeader.maximumByteCount) { return .safetensors }
    }
    if starts("PK\u{3}\u{4}") || starts("PK\u{5}\u{6}") { return .pytorch }
    return starts("GGUF") ? .gguf : nil
  }

  /// Whether this is what is left where a file should be.
  var isPlaceholder: Bool { Placeholder(bytes) != nil }

  /// The text without white space before it; empty where the bytes are none.
  private var text: String {
    guard !bytes.contains(0), let text = String(validating: trimmed, as: UTF8.self) else { return "" }
    return String(text.drop { $0.isWhitespace || $0 == "\u{FEFF}" })
  }

  /// The bytes without the part of a character at their end.
  private var trimmed: ArraySlice<UInt8> {
    guard bytes.count == FileStart.byteCount, let last = bytes.lastIndex(where: { $0 & 0xC0 != 0x80 }) else {
      return bytes[...]
    }
    return bytes[last] < 0x80 ? bytes[...] : bytes[..<last]
  }

  /// Says what a file is that is none of weights, where that is known.
  func refuseOthers(_ path: String) throws(CheckpointError) {
    if let (found, remedy) = other { throw .unsupportedFormat(file: path, found: found, remedy: remedy) }
  }

  private var other: (found: String, remedy: String)? {
    if let placeholder = Placeholder(bytes) { return (placeholder.rawValue, placeholder.remedy) }
    if isLegacyPyTorch {
      return (
        "a PyTorch file of the format before version 1.6",
        "load it with PyTorch and save it again: torch.save(torch.load(PATH, weights_only=True), NEW_PATH)"
      )
    }
    if bytes.first == 0x80, bytes.count > 1, (2...5).contains(bytes[1]) {
      return ("a pickle without PyTorch's archive", "save the weights with torch.save or as safetensors")
    }
    if bytes.starts(with: [0x1F, 0x8B]) || bytes.starts(with: [0x28, 0xB5, 0x2F, 0xFD])
      || bytes.starts(with: [0x37, 0x7A, 0xBC, 0xAF])
    {
      return ("a compressed file", "unpack it first")
    }
    if bytes.count > 262, bytes[257..<262].elementsEqual("ustar".utf8) {
      return ("a tar archive", "unpack it, and name the weights in it")
    }
    if bytes.starts(with: [0x89, 0x48, 0x44, 0x46]) { return ("an HDF5 file", "use a release in safetensors") }
    if bytes.starts(with: [0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59]) { return ("a NumPy array", "save it as safetensors") }
    if ["lmgg", "fmgg", "tjgg", "algg"].contains(where: { bytes.starts(with: $0.utf8) }) {
      return ("a file of ggml before GGUF", "convert it to GGUF, or use another release")
    }
    return isText
      ? ("a text (\(summary))", "download the file of weights itself: this is a message or a configuration") : nil
  }

  /// A pickle whose first value is PyTorch's magic number.
  private var isLegacyPyTorch: Bool {
    let magic: [UInt8] = [0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46]
    // After the protocol, and the length of a frame in later ones.
    return bytes.first == 0x80 && [2, 11].contains { bytes.dropFirst($0).starts(with: magic) }
  }

  /// Whether this is readable text: no file of weights is for so long.
  private var isText: Bool {
    let text = text
    return text.utf8.count >= 2
      && text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F || $0.properties.isWhitespace }
  }

  /// The text's begin, for a message.
  private var summary: String {
    let words = text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    return words.count > 80 ? String(words.prefix(80)).oneLine + "…" : words.oneLine
  }
}
