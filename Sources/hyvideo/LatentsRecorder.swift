import Checkpoints
import TensorCore

/// Writes the latents of a run to a safetensors file as they come: `step_000` is the initial noise, `step_001`… the latents
/// after each step, the last also as `latents`. The file appears when it is whole.
final class LatentsRecorder {
  private let writer: SafetensorsWriter
  private let steps: Int

  /// - Parameter first: the step that a run goes on from, 0 for a new one.
  init(path: String, shape: Shape, steps: Int, from first: Int) throws {
    self.steps = steps
    var entries = (first...steps).map { SafetensorsWriter.Entry(name: Self.name($0), dtype: .float32, shape: shape) }
    entries.append(SafetensorsWriter.Entry(name: "latents", dtype: .float32, shape: shape))
    writer = try SafetensorsWriter(path: path, entries: entries)
  }

  func record(_ latents: Tensor, step: Int) throws {
    try writer.write(Self.name(step), latents)
    if step == steps {
      try writer.write("latents", latents)
      try writer.finish()
    }
  }

  private static func name(_ step: Int) -> String {
    let digits = String(step)
    return "step_" + String(repeating: "0", count: max(0, 3 - digits.count)) + digits
  }
}
