import CPUBackend
import Foundation
import Generation
import VideoIO

/// The `mpirun` of this system.
struct MPILauncher {
  let path: String
  private let isOpenMPI: Bool

  /// Looks for it on the search path.
  static func find() throws -> MPILauncher {
    // Open MPI takes the folder for a part of its own: where /bin is a link, it does not start as /bin/mpirun.
    let folders = (FFmpeg.environmentValue("PATH") ?? "").split(separator: ":").map { folder in
      URL(fileURLWithPath: String(folder)).resolvingSymlinksInPath().path
    }
    guard
      let path = folders.lazy.map({ "\($0)/mpirun" }).first(where: {
        FileManager.default.isExecutableFile(atPath: $0)
      })
    else {
      throw RequestError(
        "no MPI launcher", at: "--ranks", expected: "mpirun on the search path", found: "none",
        remedy: "install an MPI, on Debian: apt-get install openmpi-bin")
    }
    let query = Process()
    let output = Pipe()
    query.executableURL = URL(fileURLWithPath: path)
    query.arguments = ["--version"]
    (query.standardInput, query.standardOutput, query.standardError) = (
      FileHandle.nullDevice, output, FileHandle.nullDevice
    )
    try query.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    query.waitUntilExit()
    return MPILauncher(path: path, isOpenMPI: text.contains("Open MPI") || text.contains("PRRTE"))
  }

  /// What starts ranks of a program.
  /// - Parameter threads: of each rank; nil for its share of the cores.
  func arguments(ranks: Int, threads: Int?, program: [String]) -> [String] {
    // Other MPIs bind by themselves, and differ in how they are told.
    guard isOpenMPI else { return ["-n", "\(ranks)"] + program }
    var options = ["-n", "\(ranks)"]
    if geteuid() == 0 { options.append("--allow-run-as-root") }
    let cores = Self.physicalCores
    let each = threads ?? cores / ranks
    // In an allocation the launcher knows better which cores are granted, and a quota is of no core in particular.
    let isAllocation = FFmpeg.environmentValue("SLURM_JOB_ID") != nil
    if each >= 1, ranks * each <= cores, AvailableCores.quota ?? .max >= cores, !isAllocation {
      options += ["--map-by", "slot:PE=\(each)", "--bind-to", "core"]
    } else {
      options += ["--map-by", "slot:OVERSUBSCRIBE", "--bind-to", "none"]
    }
    return options + program
  }

  /// Cores that may be used, counted once where each runs several threads.
  private static var physicalCores: Int {
    let siblings = AvailableCores.processors.map { core in
      (try? String(contentsOfFile: "/sys/devices/system/cpu/cpu\(core)/topology/thread_siblings_list", encoding: .utf8))
        ?? "\(core)"
    }
    return Set(siblings).count
  }
}
