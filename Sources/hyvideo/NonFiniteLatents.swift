import Generation
import TensorCore

/// Latents that are no numbers, found before a decoder works on them: it would blame its own weights in the end.
struct NonFiniteLatents: Error, CustomStringConvertible {
  private let place: String
  private let found: String
  private let remedy: String

  /// Checks what the last step has left.
  /// - Parameter wasChecked: whether the blocks' results were searched as they came.
  static func check(_ latents: Tensor, wasChecked: Bool) throws {
    guard let found = found(in: latents) else { return }
    throw NonFiniteLatents(
      place: "latents after the last step" + (wasChecked ? "" : ", the first such step is not known with --no-check"),
      found: found,
      remedy: wasChecked
        ? "every block's result was finite: leave --cache, --cfg-scale and --initial-noise out, one at a time"
        : "the transformer's weights are the likeliest cause: run again without --no-check to learn step, block and tensor"
    )
  }

  /// Checks what a saved run would go on from.
  static func check(_ run: SavedRun, path: String) throws {
    guard let found = found(in: run.state.latents) else { return }
    throw RequestError(
      "latents are not numbers", at: path, expected: "finite values", found: found,
      remedy: "no step makes numbers of them: start a new run without --no-check to learn step, block and tensor")
  }

  private static func found(in latents: Tensor) -> String? {
    let values = latents.floats()
    if values.contains(where: \.isNaN) { return "NaN" }
    return values.allSatisfy(\.isFinite) ? nil : "infinity"
  }

  var description: String { "not a number: \(place): expected finite values, found \(found); \(remedy)" }
}
