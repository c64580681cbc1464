/// What a device gives at most.
struct DevicePeak: Codable {
  /// Multiplications and additions per second, each counted.
  let operationsPerSecond: Double
  /// Bytes read from memory per second.
  let bytesPerSecond: Double
}

extension ComputeDevice {
  /// What the device gives at most, for the profile of a run that took so many seconds: measured where the run was long beside
  /// that, else as it was measured before on this machine, where it was.
  func peak(besideRunOf seconds: Double) throws -> DevicePeak {
    let file = MachineFile("peak", device: kind, threads: threads)
    if seconds < 60, let kept = file.read(DevicePeak.self), kept.operationsPerSecond > 0, kept.bytesPerSecond > 0 {
      return kept
    }
    let peak = try measurePeak()
    file.write(peak)
    return peak
  }
}
