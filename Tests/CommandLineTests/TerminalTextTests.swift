import Checkpoints
import Foundation
import StrictJSON
import TensorTesting
import Testing

/// What files and prompts say to a terminal: nothing that it would obey.
@Suite struct TerminalTextTests {
  private static let hostile =
    "x\u{1B}]0;gone\u{7}\u{1B}[2J\u{9B}31m \u{202E}desrever\u{2066} a\u{200B}b\u{2028}\u{85}\u{7F}\n\rend"

  private func expectPlain(_ text: String, _ place: SourceLocation = #_sourceLocation) {
    let obeyed = text.unicodeScalars.first {
      $0 != "\n" && [.control, .format, .lineSeparator, .paragraphSeparator].contains($0.properties.generalCategory)
    }
    #expect(obeyed == nil, "\(text.debugDescription)", sourceLocation: place)
  }

  @Test func `a prompt is shown with escapes in every message, table and page, and is kept as it is`() throws {
    let folder = TemporaryFolder()
    // The second encoder sees no more than the words in front.
    let prompt = String(repeating: "ball ", count: 80) + Self.hostile + String(repeating: " ball", count: 300)
    let words = ["--video-size", "32", "48", "--video-length", "1", "--infer-steps", "1", "--seed", "1"]
    for style in ["auto", "json", "none"] {
      let made = try Program.run(
        ["generate", "--prompt", prompt, "--output", "a.mp4", "--report", "a.json", "--progress", style] + words,
        in: folder.root)
      #expect(made.status == 0 && made.errors.contains(style == "json" ? "\\u001b" : "\\u{1b}"), "\(made.errors)")
      expectPlain(made.errors)
      #expect(made.errors.utf8.count < 3000)
    }
    #expect(try JSONValue(contentsOf: folder.path("a.json"))["settings"]["prompt"].string == prompt)
    let page = try Program.run(["report", "a.json", "--html", "a.html"], in: folder.root)
    #expect(page.status == 0, "\(page.errors)")
    let html = try String(contentsOfFile: folder.path("a.html"), encoding: .utf8)
    #expect(!html.unicodeScalars.contains { ["\u{1B}", "\u{202E}", "\u{2066}", "\u{9B}"].contains($0) })
    expectPlain(try Program.run(["report", "a.json"], in: folder.root).output)

    // The printed command is the one that makes the video, for a shell.
    let command = try Program.run(["reproduce", "a.mp4", "--dry-run"], in: folder.root)
    expectPlain(command.output)
    let words2 = command.output.replacing("hyvideo generate", with: "printf '%s\\0'")
    let shell = try Program.run(program: "/bin/bash", ["-c", words2])
    let given = shell.output.split(separator: "\0").map(String.init)
    #expect(given.count > 2 && given[0] == "--prompt" && given[1] == prompt)
  }

  @Test func `names in files and of files are shown with escapes, in tables and in JSON`() throws {
    let folder = TemporaryFolder()
    let config = "model_args:\n  \"a\\e[2J\\u202Eb\": 1\n"
    try config.write(toFile: folder.path("c\u{1B}[1m.yaml"), atomically: true, encoding: .utf8)
    let runs = [
      ["generate", "--config", "c\u{1B}[1m.yaml", "--prompt", "x"], ["inspect", "no\u{1B}[2Jne\u{202E}"],
      ["compare", "a\u{1B}[2J.mp4", "b.mp4"], ["generate", "--prompt", "x", "--model", "\u{1B}[2J"],
      ["gen\u{1B}[2Jerate"], ["generate", "--pro\u{202E}mpt"], ["tokenize", "--prompt", Self.hostile],
    ]
    for words in runs {
      let result = try Program.run(words, in: folder.root)
      expectPlain(result.errors)
      expectPlain(result.output)
    }
    let text = Self.hostile + String(repeating: " ball", count: 400)
    let tokens = try Program.run(["tokenize", "--json", "--prompt", String(repeating: "ball ", count: 400) + text])
    expectPlain(tokens.output)
    let value = try JSONValue(bytes: Array(tokens.output.utf8), file: "tokens")
    #expect(value["text_encoder"]["cut_text"].string?.contains("\u{1B}]0;gone") == true)
  }

  @Test func `warnings stay without progress`() throws {
    let folder = TemporaryFolder()
    let words = ["--prompt", "x", "--video-size", "32", "48", "--video-length", "1", "--infer-steps", "1"]
    let environment = ["SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0", "SLURM_JOB_ID": "1", "SLURM_STEP_ID": "0"]
    let result = try Program.run(
      ["generate", "--output", "a.mp4", "--progress", "none"] + words, in: folder.root, environment: environment)
    #expect(
      result.status == 0 && result.errors.hasPrefix("warning: this is one of 4 tasks of srun"), "\(result.errors)")
  }

  @Test func `a pipe of prompts makes their videos`() throws {
    let folder = TemporaryFolder()
    let words = "--video-size 32 48 --video-length 1 --infer-steps 1 --save-path r --progress none"
    let script =
      "printf 'A red ball.\\r\\nA blue\\342\\200\\250ring.\\r' | \"$0\" generate --prompt-file /dev/stdin \(words)"
    let result = try Program.run(program: "/bin/bash", ["-c", script, Program.path], in: folder.root)
    #expect(result.status == 0 && result.output.split(separator: "\n").count == 2, "\(result.errors)")
    let other = try Program.run(
      program: "/bin/bash", ["-c", "\"$0\" generate --prompt-file <(echo 'A cat.') \(words)", Program.path],
      in: folder.root)
    #expect(other.status == 0 && other.output.split(separator: "\n").count == 1, "\(other.errors)")
  }
}
