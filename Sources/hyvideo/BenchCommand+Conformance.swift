import ArgumentParser
import Collectives
import Generation
import TensorCore
import TensorOps

extension BenchCommand {
  /// Runs the cases of all operations; on several ranks those of what they do together.
  func runConformance(_ session: RankSession) throws {
    let device = try session.together { try RefusedBeforeWork.checking { try self.device.open(session) } }
    device.tellWarnings(session)
    let backends = device.backends(streamsWeights: false)
    var types = Set<DType>()
    let each = [backends.transformer, backends.textEncoders, backends.autoencoder].filter {
      types.insert($0.activationType).inserted
    }
    let showsProgress = !json && session.isFirst && Console.hasTerminal
    func progress(_ name: String) {
      if showsProgress { Console.draw("\u{1B}[2K\r\(name)") }
    }
    let isWhole: Bool
    if session.group.size == 1 {
      let report = ConformanceReport(device, on: each, progress: progress)
      progress("")
      try json ? Console.result(json: report.json()) : Console.result(report.text)
      isWhole = report.isWhole
    } else {
      let report = try CollectiveReport(device, on: each, session, progress: progress)
      progress("")
      if session.isFirst { try json ? Console.result(json: report.json()) : Console.result(report.text) }
      isWhole = report.isWhole
      try session.finish()
    }
    if !isWhole { throw ExitCode(1) }
  }
}
