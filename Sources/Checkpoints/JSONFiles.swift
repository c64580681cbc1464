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
  /// - Throws: `CheckpointError` where the file cannot be read, is too large or is not strict JSON (nested at most 64
  ///   deep, no member twice).
  public init(contentsOf path: String) throws(CheckpointError) {
    self = try JSONValue(
      bytes: DescriptorFile(reading: path).readAll(limit: JSONValue.maximumByteCount), file: path)
  }

  /// Reads JSON text; `file` is named in errors.
  /// - Throws: `CheckpointError` where the text is not strict JSON.
  public init(bytes: [UInt8], file: String) throws(CheckpointError) {
    var cursor = try JSONCursor(bytes, failure: CheckpointError.malformedJSON("JSON text", of: file))
    self = try cursor.readDocument()
  }
}
