import Foundation
import Generation

/// Finds the bundled demo checkpoint, from wherever the program is started.
enum DemoModel {
  /// The environment variable that names a checkpoint folder to use where `--model` is absent.
  static let variable = "HYVIDEO_MODEL"

  /// The folder to use where `--model` is absent: the variable's, the one installed beside the program
  /// (`PREFIX/share/hyvideo/Models/demo`), or the one of the source tree that the program was built in.
  static func locate() throws -> String {
    if let path = ProcessInfo.processInfo.environment[variable], !path.isEmpty { return path }
    var tried: [String] = []
    var folder = programFolder()
    while true {
      for candidate in ["Models/demo", "share/hyvideo/Models/demo"] {
        let path = folder.appendingPathComponent(candidate).path
        if FileManager.default.fileExists(atPath: path + "/model.json") { return path }
        tried.append(path)
      }
      let parent = folder.deletingLastPathComponent()
      if parent.path == folder.path { break }
      folder = parent
    }
    throw RequestError(
      "no checkpoint", at: "--model", expected: "a checkpoint folder", found: "no bundled demo near \(tried[0])",
      remedy: "give --model FOLDER or set \(variable)")
  }

  private static func programFolder() -> URL {
    let link = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    return URL(fileURLWithPath: link ?? CommandLine.arguments[0]).deletingLastPathComponent()
  }
}
