import Checkpoints
import StrictJSON
import Testing

struct ConfigurationReaderTests {
  private func reader(_ text: String) throws -> ConfigurationReader {
    try ConfigurationReader(JSONValue(bytes: Array(text.utf8), file: "config.json"), file: "config.json")
  }

  @Test func `fields are read with their types`() throws {
    let reader = try reader(
      #"{"size":3072,"patch":[1,2,2],"theta":256,"ratio":4.0,"flag":true,"name":"silu","zero":0,"list":["a","b"]}"#)
    #expect(try reader.positiveInt("size") == 3072 && reader.int("zero") == 0 && reader.int("ratio") == 4)
    #expect(try reader.positiveInts("patch") == [1, 2, 2] && reader.ints("patch") == [1, 2, 2])
    #expect(try reader.positiveDouble("theta") == 256 && reader.double("ratio") == 4)
    #expect(try reader.bool("flag") && reader.string("name") == "silu" && reader.strings("list") == ["a", "b"])
    #expect(reader.has("flag") && !reader.has("absent"))
  }

  @Test(arguments: ["NaN", "Infinity", "-Infinity"])
  func `a number that is none matters only where it is needed`(word: String) throws {
    let reader = try reader(
      "\u{FEFF}{\"dropout\": \(word),\r\n \"size\": 4096.0, \"more\": 1e4, \"list\": [\(word), 1] }\r\n ")
    #expect(try reader.positiveInt("size") == 4096 && reader.positiveInt("more") == 10_000)
    for read in [{ _ = try reader.double("dropout") }, { _ = try reader.positiveDouble("dropout") }]
      as [() throws -> Void]
    {
      let error = try #require(throws: CheckpointError.self) { try read() }
      #expect("\(error)".contains("config.json: dropout: expected") && "\(error)".contains("found \(word); correct"))
    }
    #expect(throws: CheckpointError.self) { try reader.int("dropout") }
    #expect(throws: CheckpointError.self) { try reader.ints("list") }
  }

  @Test func `a text in UTF-16 is named, with what to do`() throws {
    let text = Array("{\"a\": 1}".utf16)
    let little: [UInt8] = text.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }
    let big: [UInt8] = text.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] }
    for bytes in [[0xFF, 0xFE] + little, [0xFE, 0xFF] + big, little, big] {
      let error = try #require(throws: CheckpointError.self) { try JSONValue(bytes: bytes, file: "config.json") }
      #expect("\(error)".contains("config.json") && "\(error)".contains("UTF-16") && "\(error)".contains("as UTF-8"))
    }
  }

  @Test(arguments: [
    ("", "an empty file"), ("version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    ("\n<!DOCTYPE html>", "a web page"),
  ])
  func `what stands in the place of a configuration is named`(text: String, found: String) throws {
    let error = try #require(throws: CheckpointError.self) { try reader(text) }
    #expect("\(error)".contains("config.json") && "\(error)".contains("found \(found)"))
  }

  @Test func `a member that is there twice is refused by name`() throws {
    let error = try #require(throws: CheckpointError.self) { try reader(#"{"hidden_size": 1, "hidden_size": 2}"#) }
    #expect("\(error)".contains("\"hidden_size\" twice"))
  }

  @Test func `an absent or null field takes the default`() throws {
    let reader = try reader(#"{"a":null}"#)
    for key in ["a", "b"] {
      #expect(!reader.has(key))
      #expect(try reader.positiveInt(key, default: 7) == 7 && reader.bool(key, default: true))
      #expect(try reader.positiveInts(key, default: [1]) == [1] && reader.string(key, default: "x") == "x")
      #expect(try reader.object(key) == nil)
      #expect(throws: CheckpointError.self) { try reader.positiveInt(key) }
    }
  }

  @Test(arguments: [
    ("\"abc\"", "\"abc\""), ("0", "0"), ("-1", "-1"), ("1.5", "1.5"), ("true", "true"), ("[1]", "[1]"),
    ("1e300", "1e+300"), ("9223372036854775807", "9223372036854775807"), ("{}", "an object of 0 members"),
  ])
  func `a wrong size is an error that names file, field, expectation and value`(text: String, found: String) throws {
    let reader = try reader("{\"hidden_size\":\(text)}")
    let error = try #require(throws: CheckpointError.self) { try reader.positiveInt("hidden_size") }
    #expect(
      "\(error)" == "invalid configuration: config.json: hidden_size: expected a positive integer up to 16777216, "
        + "found \(found); correct the file")
  }

  @Test func `other wrong types are errors even with a default`() throws {
    let reader = try reader(#"{"x":"1","n":[1,"2"],"e":[],"z":[0]}"#)
    #expect(throws: CheckpointError.self) { try reader.bool("x", default: true) }
    #expect(throws: CheckpointError.self) { try reader.double("x", default: 1) }
    #expect(throws: CheckpointError.self) { try reader.int("x", default: 1) }
    #expect(throws: CheckpointError.self) { try reader.positiveDouble("x", default: 1) }
    #expect(throws: CheckpointError.self) { try reader.ints("n", default: []) }
    #expect(throws: CheckpointError.self) { try reader.strings("n", default: []) }
    #expect(throws: CheckpointError.self) { try reader.positiveInts("e", default: [1]) }
    #expect(throws: CheckpointError.self) { try reader.positiveInts("z", default: [1]) }
    #expect(throws: CheckpointError.self) { try reader.string("n", default: "") }
    #expect(throws: CheckpointError.self) { try reader.object("x") }
  }

  @Test func `fields of inner objects are named with their path`() throws {
    let inner = try #require(try reader(#"{"text_config":{"layers":"two"}}"#).object("text_config"))
    let error = try #require(throws: CheckpointError.self) { try inner.positiveInt("layers") }
    #expect("\(error)".contains("config.json: text_config.layers: expected a positive integer"))
  }

  @Test func `requirements name what is expected and found`() throws {
    let reader = try reader(#"{"act_fn":"relu"}"#)
    #expect(throws: Never.self) { try reader.require("absent", equals: "silu") }
    let error = try #require(throws: CheckpointError.self) { try reader.require("act_fn", equals: "silu") }
    #expect("\(error)".contains(#"act_fn: expected "silu", found "relu""#))
    #expect(throws: CheckpointError.self) { try reader.require("heads", 7 % 2 == 0, "an even number", "7") }
  }

  @Test func `a field that nobody read is refused by name, with its value and the file`() throws {
    let reader = try reader(#"{"size":1,"mystery":"yes","puzzle":2,"_note":"x","nothing":null}"#)
    _ = try reader.int("size")
    let error = try #require(throws: CheckpointError.self) { try reader.finish() }
    let message = "\(error)"
    #expect(message.hasPrefix("unknown setting: config.json: mystery: "), "\(message)")
    for part in ["found \"yes\"", "puzzle", "remove it from the file"] { #expect(message.contains(part), "\(message)") }
    #expect(!message.contains("_note") && !message.contains("nothing"))
  }

  @Test func `fields that were read, were absent or are declared to change nothing are no obstacle`() throws {
    let reader = try reader(#"{"size":1,"seen":true,"inert":[1],"inner":{"x":1,"y":2}}"#)
    _ = try (reader.int("size"), reader.bool("seen"))
    reader.ignore([InertSettings(["inert", "not there"], because: "of training")])
    let inner = try #require(try reader.object("inner"))
    try reader.finish()
    _ = try inner.int("x")
    let error = try #require(throws: CheckpointError.self) { try inner.finish() }
    #expect("\(error)".contains("config.json: inner.y"))
  }

  @Test func `looking for a field is not reading it`() throws {
    let reader = try reader(#"{"size":1}"#)
    #expect(reader.has("size"))
    #expect(throws: CheckpointError.self) { try reader.finish() }
  }

  @Test func `a field must have one of the values that are computed, however they are written`() throws {
    let reader = try reader(#"{"one":1.0,"off":false,"none":{},"name":"b","on":true}"#)
    try reader.require("one", isOneOf: [1], effect: "")
    try reader.require("off", isOneOf: [false], effect: "")
    try reader.require("none", isOneOf: [[:]], effect: "")
    try reader.require("name", isOneOf: ["a", "b"], effect: "")
    try reader.require("absent", isOneOf: [], effect: "")
    let error = try #require(throws: CheckpointError.self) {
      try reader.require("on", isOneOf: [false], effect: "the sky falls")
    }
    #expect(
      "\(error)" == "unsupported setting: config.json: on: expected false, found true; the sky falls, which is not "
        + "computed here: use a checkpoint without it")
    try reader.finish()
  }

  @Test(arguments: ["[]", "1", "", "{"]) func `a document that is no object is refused`(text: String) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(text, "config.json")
    let error = try #require(throws: CheckpointError.self) { try ConfigurationReader(contentsOf: path) }
    #expect("\(error)".contains("\(path): JSON text"))
  }

  @Test func `a configuration larger than any is refused`() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("{}", "config.json")
    try folder.resize(path, to: 17 << 20)
    let error = try #require(throws: CheckpointError.self) { try ConfigurationReader(contentsOf: path) }
    #expect("\(error)".contains("expected at most 16777216 bytes, found 17825792"))
  }
}
