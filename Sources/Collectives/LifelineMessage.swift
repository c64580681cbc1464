import Foundation

/// What ranks tell each other of their end.
struct LifelineMessage: Equatable {
  enum Kind: UInt8 {
    /// Who connects; the value is the token that the first rank has given out, the text the rank.
    case hello = 1
    /// A rank has failed; the value is its status, the text its reason.
    case failed
    /// All ranks shall end between two steps; the value is a signal's number.
    case stop
    /// The rank ends as it should.
    case goodbye
    /// The first rank has told the user why all end; the value is the status.
    case ended
  }

  let kind: Kind
  var value: Int64 = 0
  var text = ""

  private static let headerSize = 13
  private static let textLimit = 1 << 16

  /// Kind, value and the text's length, little-endian, then the text.
  var bytes: [UInt8] {
    let text = Array(self.text.utf8.prefix(Self.textLimit))
    return [kind.rawValue] + withUnsafeBytes(of: value.littleEndian) { Array($0) }
      + withUnsafeBytes(of: UInt32(text.count).littleEndian) { Array($0) } + text
  }

  /// Takes the first message out of what has arrived; nil where it is not whole yet.
  /// - Throws: `CollectiveError` for bytes that are no message: whoever sent them is no rank.
  static func next(in buffer: inout [UInt8]) throws(CollectiveError) -> LifelineMessage? {
    if buffer.count < headerSize { return nil }
    let (value, length) = buffer.withUnsafeBytes {
      (
        Int64(littleEndian: $0.loadUnaligned(fromByteOffset: 1, as: Int64.self)),
        Int(UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: 9, as: UInt32.self)))
      )
    }
    guard let kind = Kind(rawValue: buffer[0]), length <= textLimit else {
      throw CollectiveError(operation: "lifeline", reason: "bytes that are no message")
    }
    if buffer.count < headerSize + length { return nil }
    let text = String(decoding: buffer[headerSize..<headerSize + length], as: UTF8.self)
    buffer.removeFirst(headerSize + length)
    return LifelineMessage(kind: kind, value: value, text: text)
  }
}
