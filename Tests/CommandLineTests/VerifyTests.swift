import Checkpoints
import Foundation
import StrictJSON
import Testing

@Suite(.serialized) struct VerifyTests {
  @Test(
    arguments: [
      ["--ranks", "2", "--ulysses-degree", "2"], ["--ranks", "3", "--video-size", "48", "80", "--video-length", "9"],
      ["--ranks", "4", "--cfg-scale", "3", "--cfg-parallel"],
    ])
  func `ranks agree with one, step by step`(_ flags: [String]) throws {
    let result = try Program.run(["verify", "--infer-steps", "3", "--json"] + flags)
    #expect(result.status == 0 && result.errors.isEmpty, "\(result.errors)")
    let object = try JSONValue(bytes: Array(result.output.utf8), file: "output").object
    #expect(object?["agrees"]?.bool == true && object?["ranks_are_identical"]?.bool == true)
    #expect(object?["decoding_is_identical"]?.bool == true && object?["layouts"] == nil)
    let steps = object?["steps"]?.array ?? []
    #expect(steps.count == 4 && steps.first?.object?["relative_difference"]?.double == 0)
    let largest = steps.compactMap { $0.object?["relative_difference"]?.double }.max()
    #expect(object?["max_relative_difference"]?.double == largest && largest ?? 1 < 1e-5)
    #expect(object?["video_relative_difference"]?.double ?? 1 < 1e-4)
    #expect("\(object?["ranks"]?.int ?? 0)" == flags[1])
  }

  private static let sizes = [
    ["--video-size", "96", "144", "--video-length", "17"], ["--video-size", "48", "80", "--video-length", "9"],
    ["--video-size", "64", "64", "--video-length", "5"],
  ]

  @Test(arguments: 2...8)
  func `every layout of ranks makes the video of one`(_ ranks: Int) throws {
    // Sizes take turns, guidance and its halves too.
    var flags = Self.sizes[ranks % 3]
    if ranks % 2 == 0 { flags += ["--cfg-scale", "3"] }
    let result = try Program.run(
      ["verify", "--ranks", "\(ranks)", "--threads", "1", "--all-layouts", "--infer-steps", "4", "--json"] + flags)
    #expect(result.status == 0 && result.errors.isEmpty, "\(result.errors)")
    let object = try JSONValue(bytes: Array(result.output.utf8), file: "output").object
    #expect(object?["agrees"]?.bool == true && object?["decoding_is_identical"]?.bool == true)
    let layouts = (object?["layouts"]?.array ?? []).compactMap(\.object)
    let degrees = layouts.map { [$0["ulysses_degree"]?.int ?? 0, $0["ring_degree"]?.int ?? 0] }
    #expect(degrees == (1...ranks).filter { ranks % $0 == 0 }.map { [$0, ranks / $0] })
    for layout in layouts {
      #expect(layout["steps"]?.array?.count == 5 && layout["ranks_are_identical"]?.bool == true)
      #expect(layout["max_relative_difference"]?.double ?? 1 < 1e-5, "\(layout)")
      #expect(layout["video_relative_difference"]?.double ?? 1 < 1e-4, "\(layout)")
    }
  }

  @Test func `ranks that differ by more than is allowed are told, with status 1`() throws {
    let result = try Program.run(["verify", "--ranks", "2", "--infer-steps", "2", "--tolerance", "1e-12"])
    #expect(result.status == 1 && result.output.contains("DIFFERS"), "\(result.output)\(result.errors)")
    #expect(result.errorLines.count == 1 && result.errorLine.contains("1e-12"), "\(result.errors)")
  }

  @Test(
    arguments: [
      [], ["--ranks", "1"], ["--ranks", "3", "--cfg-parallel", "--cfg-scale", "2"],
      ["--ranks", "2", "--all-layouts", "--ring-degree", "2"],
    ])
  func `what cannot be compared is refused`(_ flags: [String]) throws {
    let result = try Program.run(["verify"] + flags)
    #expect(result.status == 64 && result.errorLines.count == 1, "\(result.errors)")
  }
}
