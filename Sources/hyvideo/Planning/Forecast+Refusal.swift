import Generation

extension Forecaster {
  /// Why a plan that does not fit is refused, with what would.
  func refusal(_ plan: RunPlan, _ requests: [GenerationRequest], heads: Int) throws -> RequestError {
    let (bound, found, stage) = limit.tightest(plan)
    return try refusal(requests, heads: heads, bound: bound, found: "\(ByteCount.text(found)) to \(stage)")
  }

  /// Refuses what is so large that it needs no plan: one would take its time.
  func requireConceivable(_ requests: [GenerationRequest], heads: Int) throws {
    guard let least = least(of: requests[0]), least.bytes > limit.host.bytes else { return }
    throw try refusal(
      requests, heads: heads, bound: limit.host,
      found: "more than \(ByteCount.text(least.bytes)) to \(least.stage.rawValue)")
  }

  private func refusal(
    _ requests: [GenerationRequest], heads: Int, bound: MemoryLimit.Bound, found: String
  ) throws -> RequestError {
    let request = requests[0]
    let remedy: String
    if let proposal = try proposal(for: requests, heads: heads) {
      remedy =
        "this fits, with \(ByteCount.text(limit.tightest(proposal.plan).found)): "
        + ProposedCommand(proposal, insteadOf: request).description
    } else {
      remedy =
        goesOn
        ? "a run that goes on keeps its size: give it more memory, or --force"
        : "nothing that this checkpoint makes fits; give it more memory, or --force"
    }
    return RequestError(
      "does not fit",
      at: VideoSize.text(
        frames: request.frames, height: request.roundedHeight, width: request.roundedWidth),
      expected: "at most \(ByteCount.text(bound.bytes)) \(bound.kind)(\(bound.source))",
      found: found, remedy: remedy)
  }
}
