/// Writes a file of weights, some bytes at a time, so that they need not be in memory together. The file appears under its
/// name when it is whole.
public protocol WeightFileWriter: AnyObject {
  /// Writes the next bytes of one tensor.
  /// - Precondition: the tensor was announced and has room for them.
  /// - Throws: `CheckpointError.unwritable`.
  func append(_ bytes: UnsafeRawBufferPointer, to name: String) throws(CheckpointError)

  /// Puts the file in its place.
  /// - Precondition: every announced tensor has been written.
  /// - Throws: `CheckpointError.unwritable`.
  func finish() throws(CheckpointError)
}

extension WeightFileWriter {
  /// Writes the next bytes of one tensor.
  public func append(_ bytes: [UInt8], to name: String) throws(CheckpointError) {
    let result = bytes.withUnsafeBytes { buffer in
      Result { () throws(CheckpointError) in try append(buffer, to: name) }
    }
    try result.get()
  }
}
