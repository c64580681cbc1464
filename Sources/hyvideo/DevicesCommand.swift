import ArgumentParser
import Foundation

struct DevicesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "devices", abstract: "Lists the devices that can compute, and why others cannot.",
    discussion: """
      Example: hyvideo devices
      NPUs are found through CANN's libraries: source its set_env.sh first. Names are those that --device takes.
      """)

  @Flag(help: "Print one JSON object.") var json = false

  func run() throws {
    let list = DeviceList()
    try json ? Console.result(json: list.json()) : Console.result(list.text)
  }
}
