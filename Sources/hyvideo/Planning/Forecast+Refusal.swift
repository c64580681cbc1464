import Generation

extension Forecaster {
  /// Why a plan that does not fit is refused, with what would.
  func refusal(_ plan: RunPlan, _ requests: [GenerationRequest], heads: Int, limit: MemoryLimit) throws -> RequestError
  {
    let request = requests[0]
    let remedy: String
    if let proposal = try proposal(for: requests, heads: heads) {
      remedy =
        "this fits, with \(ByteCount.text(proposal.plan.hostPeakBytes)): "
        + ProposedCommand(proposal, insteadOf: request).description
    } else {
      remedy = "nothing that this checkpoint makes fits; give it more memory, or --force"
    }
    let largest = plan.largestStage
    return RequestError(
      "does not fit", at: "\(request.frames) frames of \(request.roundedHeight)x\(request.roundedWidth)",
      expected: "at most \(ByteCount.text(limit.bytes)) (\(limit.source))",
      found: "\(ByteCount.text(plan.hostPeakBytes)) to \(largest?.stage.rawValue ?? "run")", remedy: remedy)
  }
}
