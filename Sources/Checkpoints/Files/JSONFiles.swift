public import StrictJSON

extension CheckpointError {
  /// Makes the errors of a cursor over JSON text in `file`; `part` says which text: `header`, `JSON text`.
  static func malformedJSON(_ part: String, of file: String) -> (JSONError) -> CheckpointError {
    { error in
      .malformed(
        file: file, place: "\(part), byte \(error.offset)", expected: error.expected, found: error.found ?? "the end")
    }
  }
}

extension JSONValue {
  /// The largest file that is read, in bytes; a document in memory takes several times as much.
  public static let maximumByteCount = 16 << 20

  /// Reads a whole file.
  /// - Throws: `CheckpointError` where the file cannot be read, is too large or is not JSON (`JSONDialect.lenient`, nested
  ///   at most 64 deep). A member that is there twice is refused by name: nobody knows which of the two was meant.
  public init(contentsOf path: String) throws(CheckpointError) {
    self = try JSONValue(
      bytes: DescriptorFile(reading: path).readAll(limit: JSONValue.maximumByteCount), file: path)
  }

  /// Reads JSON text; `file` is named in errors.
  /// - Throws: `CheckpointError` where the text is not JSON.
  public init(bytes: [UInt8], file: String) throws(CheckpointError) {
    if isWideText(bytes) {
      throw .wrongEncoding(file: file, expected: "JSON text in UTF-8", found: "text in UTF-16 or UTF-32")
    }
    if let placeholder = Placeholder(bytes) {
      throw .malformed(file: file, place: "JSON text", expected: "an object", found: placeholder.rawValue)
    }
    var cursor = try JSONCursor(bytes, dialect: .lenient, failure: CheckpointError.malformedJSON("JSON text", of: file))
    self = try cursor.readDocument()
  }
}
