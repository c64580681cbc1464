import Testing
import Tokenizers

@Suite struct PromptTemplateTests {
  let tokenizer: LlamaTokenizer

  init() throws { tokenizer = try LlamaTokenizer(folder: Project.llamaFolder) }

  @Test func `the templates are those of the demo checkpoint`() throws {
    struct Model: Decodable {
      struct Defaults: Decodable {
        var template: String
        var templateImage: String
        var negativePrompt: String
        var cropStart: Int
        var cropStartImage: Int
      }
      var defaults: Defaults
    }
    let defaults = try Project.json("Models/demo/model.json", as: Model.self).defaults
    #expect(PromptTemplate.video.text == defaults.template)
    #expect(PromptTemplate.image.text == defaults.templateImage)
    #expect(PromptTemplate.defaultNegativePrompt == defaults.negativePrompt)
    #expect(PromptTemplate.video.prefixCount(with: tokenizer) == defaults.cropStart)
    #expect(PromptTemplate.image.prefixCount(with: tokenizer) == defaults.cropStartImage)
    #expect(try PromptTemplate(name: "dit-llm-encode-video", text: defaults.template) == .video)
  }

  @Test func `the prompt replaces the braces without its outer white space`() throws {
    let template = try PromptTemplate(name: "test", text: "{ } <{}> {0}")
    #expect(template.applied(to: " \u{1F}\u{3000}a {} b\n") == "{ } <a {} b> {0}")
    #expect(template.applied(to: " \n ") == "{ } <> {0}")
    #expect(template.text == "{ } <{}> {0}")
  }

  @Test(arguments: ["no place", "{} and {}", "{", ""])
  func `a template needs one place for the prompt`(text: String) {
    #expect(throws: TokenizerError.self) { try PromptTemplate(name: "test", text: text) }
  }

  @Test func `the empty prompt is the closing token alone`() throws {
    let result = PromptTemplate.video.tokenize("  ", with: tokenizer, limit: 351)
    #expect(result.prefixCount == 95)
    #expect(result.ids.count == 96)
    #expect(Array(result.promptIDs) == [try #require(tokenizer.id(of: "<|eot_id|>"))])
    #expect(result.cutText == nil)
  }

  @Test func `a prompt that is too long loses its end and the closing token`() {
    let words = (1...400).map { "red ball \($0)" }.joined(separator: ", ")
    let whole = PromptTemplate.video.tokenize(words, with: tokenizer)
    let cut = PromptTemplate.video.tokenize("  " + words + "\n", with: tokenizer, limit: 351)
    #expect(cut.ids == Array(whole.ids[..<351]))
    #expect(cut.promptIDs.count == 256)
    #expect(cut.count == whole.count)
    let lost = cut.cutText ?? ""
    #expect(words.hasSuffix(lost))
    let kept = String(words.dropLast(lost.count))
    #expect(PromptTemplate.video.tokenize(kept, with: tokenizer).promptIDs.dropLast() == cut.promptIDs)
  }

  @Test func `losing only the closing token loses no text`() {
    let whole = PromptTemplate.video.tokenize("A red ball", with: tokenizer)
    let cut = PromptTemplate.video.tokenize("A red ball", with: tokenizer, limit: whole.count - 1)
    #expect(cut.isTruncated)
    #expect(cut.cutText?.isEmpty == true)
  }

  @Test func `padding fills up with the padding token`() {
    let text = tokenizer.tokenize("A red ball")
    let padded = text.padded(to: 10, with: 7)
    #expect(padded.ids.count == 10)
    #expect(padded.ids[..<text.count] == text.ids[...])
    #expect(padded.ids[text.count...].allSatisfy { $0 == 7 })
    #expect(padded.validCount == text.count)
  }
}
