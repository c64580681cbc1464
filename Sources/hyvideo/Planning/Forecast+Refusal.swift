import Generation

extension Forecaster {
  /// Why a plan that does not fit is refused, with what would.
  func refusal(_ plan: RunPlan, _ requests: [GenerationRequest], heads: Int, limit: MemoryLimit) throws -> RequestError
  {
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
    let (bound, found, stage) = limit.tightest(plan)
    return RequestError(
      "does not fit",
      at: VideoSize.text(
        frames: request.frames, height: request.roundedHeight, width: request.roundedWidth),
      expected: "at most \(ByteCount.text(bound.bytes)) \(bound.kind)(\(bound.source))",
      found: "\(ByteCount.text(found)) to \(stage)", remedy: remedy)
  }
}
