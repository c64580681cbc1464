/// A vocabulary: token bytes to token id.
///
/// All tokens lie in one buffer behind an open-addressing table, so that loading 128,000 of them costs no
/// allocation each and looking one up needs no `String`. (`String` keys would also be wrong: they compare by
/// canonical equivalence, tokens by bytes.)
struct TokenTable: Sendable {
  private struct Slot {
    var hash: UInt32
    /// Index of the entry plus one; 0 is an empty slot.
    var entry: UInt32
  }

  private var buffer: [UInt8] = []
  /// `ends[i]` is where token `i` ends in the buffer and token `i + 1` begins.
  private var ends: [Int] = []
  private(set) var ids: [Int32] = []
  private var slots = [Slot](repeating: Slot(hash: 0, entry: 0), count: 1024)

  var count: Int { ids.count }

  /// Adds a token; answers `false`, and changes nothing, where it is there already.
  mutating func insert(_ token: Span<UInt8>, id: Int32) -> Bool {
    let hash = Self.hash(token)
    let slot = self.slot(of: token, hash: hash)
    guard slots[slot].entry == 0 else { return false }
    token.withUnsafeBufferPointer { buffer.append(contentsOf: $0) }
    ends.append(buffer.count)
    ids.append(id)
    slots[slot] = Slot(hash: hash, entry: UInt32(ids.count))
    if ids.count * 2 > slots.count { grow() }
    return true
  }

  /// The id of a token, or nil where the vocabulary does not have it.
  func id(of token: Span<UInt8>) -> Int32? {
    let entry = slots[slot(of: token, hash: Self.hash(token))].entry
    return entry == 0 ? nil : ids[Int(entry) - 1]
  }

  func id(of token: [UInt8]) -> Int32? { id(of: token.span) }

  func id(of token: String) -> Int32? { id(of: Array(token.utf8)) }

  /// The text of the token at `index`, in order of insertion.
  func token(at index: Int) -> String {
    String(decoding: buffer[(index == 0 ? 0 : ends[index - 1])..<ends[index]], as: UTF8.self)
  }

  /// An id that two tokens share, with both tokens, or nil.
  func duplicateID() -> (id: Int32, first: String, second: String)? {
    let order = ids.indices.sorted { (ids[$0], $0) < (ids[$1], $1) }
    for (left, right) in zip(order, order.dropFirst()) where ids[left] == ids[right] {
      return (ids[left], token(at: left), token(at: right))
    }
    return nil
  }

  /// The slot that holds `token`, or the empty slot where it belongs.
  private func slot(of token: Span<UInt8>, hash: UInt32) -> Int {
    let mask = slots.count - 1
    var slot = Int(hash) & mask
    while slots[slot].entry != 0 {
      if slots[slot].hash == hash, matches(Int(slots[slot].entry) - 1, token) { return slot }
      slot = (slot + 1) & mask
    }
    return slot
  }

  private func matches(_ entry: Int, _ token: Span<UInt8>) -> Bool {
    let start = entry == 0 ? 0 : ends[entry - 1]
    guard ends[entry] - start == token.count else { return false }
    for index in 0..<token.count where buffer[start + index] != token[index] { return false }
    return true
  }

  private mutating func grow() {
    var larger = [Slot](repeating: Slot(hash: 0, entry: 0), count: slots.count * 2)
    let mask = larger.count - 1
    for slot in slots where slot.entry != 0 {
      var place = Int(slot.hash) & mask
      while larger[place].entry != 0 { place = (place + 1) & mask }
      larger[place] = slot
    }
    slots = larger
  }

  /// Seeded per process: a file cannot be made so that its tokens collide.
  private static func hash(_ token: Span<UInt8>) -> UInt32 {
    var hasher = Hasher()
    token.withUnsafeBytes { hasher.combine(bytes: $0) }
    return UInt32(truncatingIfNeeded: hasher.finalize())
  }
}
