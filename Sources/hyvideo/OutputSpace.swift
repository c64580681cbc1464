import Checkpoints
import Generation
import TensorCore

/// Room on the disks for files whose size is known before the run.
enum OutputSpace {
  /// What to say of disks that have too little.
  /// - Parameter shape: of a request's latents.
  static func warnings(
    _ command: GenerateCommand, _ plan: GeneratePlan, shape: (GenerationRequest) throws -> Shape
  ) throws -> [String] {
    var (latents, frames) = (0.0, 0.0)
    for request in plan.jobs.map(\.request) {
      // The noise, each step, and the last once more.
      latents += Double(try shape(request).count * 4) * Double(request.steps + 2)
      frames += Double(request.frames) * Double(request.roundedHeight) * Double(request.roundedWidth) * 3 * 4
    }
    let needs = [
      ("--save-latents", command.output.saveLatents, latents), ("--save-frames", command.output.saveFrames, frames),
    ]
    return needs.compactMap { flag, path, bytes in
      guard let path, let free = FileSystem.freeByteCount(at: FileSystem.folder(of: path)), Double(free) < bytes else {
        return nil
      }
      return "the disk of \(flag) has \(ByteCount.text(free)) free, and \(path) will take "
        + ByteCount.text(Int(min(bytes, 1e18)))
    }
  }
}
