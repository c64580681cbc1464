import Checkpoints
import Foundation
import StrictJSON
import TensorTesting
import Testing

/// What the command line takes, and what it must not drop or trap on.
@Suite struct FlagTests {
  private static let small = ["--video-size", "32", "48", "--video-length", "1", "--infer-steps", "1"]

  @Test func `a text may begin with a dash, in the video and in its name`() throws {
    let folder = TemporaryFolder()
    let result = try Program.run(
      ["generate", "--prompt", "- a red ball", "--neg-prompt", "-blurry", "--output", "-x.mp4", "--report", "-r.json"]
        + Self.small, in: folder.root)
    #expect(result.status == 0 && result.output == "-x.mp4\n", "\(result.errors)")
    let settings = try JSONValue(contentsOf: folder.path("-r.json"))["settings"]
    #expect(settings["prompt"].string == "- a red ball" && settings["negative_prompt"].string == "-blurry")
    // The recorded words are taken back.
    let again = try Program.run(["reproduce", "./-x.mp4", "--output", "again.mp4"], in: folder.root)
    #expect(again.status == 0 && again.errors.contains("identical"), "\(again.errors)")
  }

  static let taken: [[String]] = [
    ["--prompt", "-1"], ["--prompt", "-h is hot"], ["--prompt=--seed"], ["--prompt", "-- two dashes"],
    ["--prompt", "--- a cat"], ["--prompt", "a=b", "--neg-prompt", "-"],
  ]

  @Test(arguments: taken)
  func `what is no flag is a value`(_ words: [String]) throws {
    let result = try Program.run(["plan"] + words + Self.small)
    #expect(result.status == 0, "\(result.errors)")
  }

  static let refused: [(words: [String], says: [String])] = [
    (["--prompt", "--seed", "3"], ["missing value", "--prompt=--seed"]),
    (["--neg-prompt", "--sed", "3"], ["missing value", "--neg-prompt=--sed"]),
    (["--output", "--"], ["missing value", "--output=--"]),
    (["--prompt"], ["--prompt"]), (["--video-size", "-1", "16"], ["invalid number", "--video-size", "-1"]),
    (["--prompt", "one", "--prompt", "two"], ["twice", "\"one\" and \"two\"", "--prompt-file"]),
    (["--prompt", "one", "--prompt=one"], ["twice"]), (["--seed", "1", "--seed", "2"], ["--seed", "\"1\" and \"2\""]),
    (["--video-size", "16", "16", "--video-size", "32", "32"], ["--video-size", "\"16 16\" and \"32 32\""]),
    (["--seed", "-2"], ["--seed", "-1 to draw one"]), (["--seed", "18446744073709551616"], ["18446744073709551615"]),
    (["--seed", "0x10"], ["digits"]), (["--seed", "1e3"], ["digits"]), (["--seed", " 5"], ["digits"]),
    (["--seed="], ["--seed"]), (["--num-videos", "3", "--seed", "18446744073709551614"], ["18446744073709551613"]),
    (["--prompt", String(repeating: "a", count: 110_000)], ["cannot be stored", "--prompt", "110000 bytes"]),
    (["--fps", "0"], ["--fps"]), (["--preview", "0"], ["--preview"]), (["--progress", "loud"], ["--progress"]),
  ]

  @Test(arguments: refused)
  func `what is missing, said twice or no seed is refused by name`(_ words: [String], _ says: [String]) throws {
    let result = try Program.run(["plan"] + words)
    #expect(result.status == 64, "\(result.errors)")
    for text in says { #expect(result.errorLine.contains(text), "\(text): \(result.errorLine.prefix(400))") }
    #expect(result.errors.utf8.count < 4000)
  }

  @Test func `a word that is no text is refused, where it would be mended into another`() throws {
    let folder = TemporaryFolder()
    let line = "exec \"$0\" generate --prompt a --output \"$(printf 'v\\377.mp4')\""
    let result = try Program.run(program: "/bin/sh", ["-c", line, Program.path], in: folder.root)
    #expect(result.status == 64 && result.errorLine.contains("UTF-8"), "\(result.errors)")
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.root).isEmpty)
  }

  static let others: [[String]] = [
    ["tokenize", "--prompt", "a", "--prompt", "b"], ["bench", "linear", "--tokens", "1", "--tokens", "2"],
    ["decode", "a", "--fps", "1", "--fps=2"], ["calibrate", "--seed", "1", "--seed", "2"],
    ["verify", "--ranks", "2", "--ranks", "2"], ["compare", "a", "b", "--plot", "a.png", "--plot", "b.png"],
    ["profile", "summary", "a", "--rank", "1", "--rank", "2"], ["inspect", "a", "--load-key", "b", "--load-key", "c"],
    ["reproduce", "a", "--threads", "1", "--threads", "2"],
  ]

  @Test(arguments: others)
  func `no command drops the first of two values`(_ words: [String]) throws {
    let result = try Program.run(words)
    #expect(result.status == 64 && result.errorLine.contains("flag given twice"), "\(result.errors)")
  }

  @Test func `seeds reach the largest number of 64 bits, and -1 draws one and says which`() throws {
    let folder = TemporaryFolder()
    let largest = try Program.run(
      ["generate", "--prompt", "x", "--seed", "18446744073709551613", "--num-videos", "3", "--save-path", "r"]
        + Self.small, in: folder.root)
    #expect(largest.status == 0 && largest.output.contains("seed18446744073709551615"), "\(largest.errors)")
    // The drawn seed may be beyond what the reader of reports takes for an integer.
    let drawn = try Program.run(
      ["generate", "--prompt", "x", "--seed", "-1", "--output", "a.mp4", "--report", "a.json"] + Self.small,
      in: folder.root)
    let line = try #require(drawn.errors.split(separator: "\n").first { $0.hasPrefix("seed ") })
    let report = try String(contentsOfFile: folder.path("a.json"), encoding: .utf8)
    #expect(drawn.status == 0 && UInt64(line.dropFirst(5)) != nil && report.contains(line.dropFirst(5)), "\(line)")
  }

  /// What cannot be a number.
  private static let texts: Set<String> = [
    "prompt", "prompt-file", "neg-prompt", "model", "vae-path", "dit-weight", "load-key", "text-encoder-path",
    "text-encoder-2-path", "tokenizer-path", "tokenizer-2-path", "cache", "cache-option", "calibration", "device",
    "precision", "text-encoder-precision", "vae-precision", "progress", "resume", "save-path", "output",
    "initial-noise", "save-latents", "save-frames", "report", "profile", "config", "plot", "dtype", "overhead",
  ]

  static let commands: [(command: String, words: [String])] = [
    ("generate", ["--prompt", "x", "--dry-run"]), ("plan", []),
    ("bench", ["attention"]), ("verify", []), ("calibrate", ["--output", "/proc/none/a.json"]),
    ("decode", ["none.safetensors"]), ("reproduce", ["none.mp4"]),
  ]

  @Test(arguments: commands)
  func `no number is too large, too small or too odd for an answer`(_ command: String, _ words: [String]) throws {
    let folder = TemporaryFolder()
    let flags = try ConfigurationTests.flags(of: command).filter { $0.takesValue && !Self.texts.contains($0.name) }
    #expect(!flags.isEmpty)
    for flag in flags {
      for value in ["9223372036854775807", "4611686018427387904", "0", "-1", "-9223372036854775808", "1e99", "nan"] {
        let values = flag.name == "video-size" ? [value, value] : [value]
        // What is in order must not begin the work of such a command.
        if command == "bench" && ["threads", "text-tokens"].contains(flag.name) { continue }
        let result = try Program.run([command] + words + ["--\(flag.name)"] + values, in: folder.root)
        #expect(
          [0, 64].contains(result.status), "\(command) --\(flag.name) \(value): \(result.status) \(result.errors)")
      }
    }
  }
}
