import ArgumentParser
import Foundation
import Generation
import StrictJSON
import Tokenizers

struct TokenizeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokenize", abstract: "Shows how both text encoders read a prompt, and what of it they would not see.",
    discussion: "Example: hyvideo tokenize --prompt \"A cat walks on the grass.\" --json")

  @Option(help: "The prompt.") var prompt: String
  @Option(help: "Checkpoint folder. Default: the bundled demo.") var model: String?
  @Option(help: "Frames of the video; 1 is a picture, which has another template.") var videoLength = 129
  @Flag(help: "Print one JSON object.") var json = false

  private struct Output: Encodable {
    let ids: [Int32]
    let count: Int
    let limit: Int
    let cutText: String?

    init(_ text: TokenizedText) {
      (ids, count, limit, cutText) = (text.ids, text.count, text.limit ?? text.count, text.cutText)
    }

    enum CodingKeys: String, CodingKey {
      case ids, count, limit
      case cutText = "cut_text"
    }

    func encode(to encoder: any Encoder) throws {
      var container = encoder.container(keyedBy: CodingKeys.self)
      try container.encode(ids, forKey: .ids)
      try container.encode(count, forKey: .count)
      try container.encode(limit, forKey: .limit)
      try container.encode(cutText, forKey: .cutText)
    }
  }

  func run() throws {
    let tokens = try RefusedBeforeWork.checking {
      try PromptTokenizer(ModelFolder(model ?? DemoModel.locate()))(prompt, frames: videoLength)
    }
    let outputs = ["text_encoder": Output(tokens.templated), "text_encoder_2": Output(tokens.pooled)]
    if json {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.sortedKeys]
      try Console.result(json: String(decoding: encoder.encode(outputs), as: UTF8.self))
      return
    }
    for (name, output) in outputs.sorted(by: { $0.key < $1.key }) {
      try Console.result("\(name): \(output.count) of at most \(output.limit) tokens")
      try Console.result("  " + output.ids.map(String.init).joined(separator: " "))
      if let cut = output.cutText { try Console.result("  not seen: \"\(cut.printable)\"") }
    }
    try Console.result(
      "the transformer sees \(tokens.textTokenCount) text tokens; the template's \(tokens.templated.prefixCount) are cut off"
    )
  }
}
