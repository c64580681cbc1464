import Checkpoints
import TensorCore

/// Everything that decides a run's latents, as text: two runs of one identity on one machine have the same bits.
public struct RunIdentity: Sendable, Hashable {
  /// What each part is, by its name.
  public let values: [String: String]

  /// What a request has that changes the frames alone.
  private static let decoderFields: Set = ["vaeTiling"]

  /// - Parameters:
  ///   - request: all its fields count, those that are added later too.
  ///   - others: what else there is: version, checkpoint, device.
  public init(_ request: GenerationRequest, others: [String: String]) {
    var values = others
    for case (let name?, let value) in Mirror(reflecting: request).children where !Self.decoderFields.contains(name) {
      values[name] = "\(value)"
    }
    // The sizes that are computed, and no text that is not used.
    values["height"] = "\(request.roundedHeight)"
    values["width"] = "\(request.roundedWidth)"
    if !request.usesGuidance { values["negativePrompt"] = "" }
    values["initialNoise"] = request.initialNoise.map { noise in
      CheckpointDigest.sha256(of: UnsafeRawBufferPointer(start: noise.hostPointer, count: noise.byteCount))
    }
    self.values = values
  }

  init(values: [String: String]) { self.values = values }

  /// The names of what differs, sorted.
  public func differences(from other: RunIdentity) -> [String] {
    Set(values.keys).union(other.values.keys).filter { values[$0] != other.values[$0] }.sorted()
  }
}
