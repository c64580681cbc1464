import Foundation

/// Reading back what tests wrote.
enum Fixture {
  static func bytes(_ path: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(fileURLWithPath: path))) }
}
