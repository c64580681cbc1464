import CAscend
import Collectives

/// The functions of HCCL that several devices need.
struct HCCLFunctions: Sendable {
  let getRootInformation: HcclGetRootInfoFunction
  let join: HcclCommInitRootInfoConfigFunction
  let part: HcclCreateSubCommConfigFunction
  let destroy: HcclCommDestroyFunction
  let asynchronousError: HcclGetCommAsyncErrorFunction
  /// Older releases may not have it.
  let describe: HcclGetErrorStringFunction?
  let allToAll: HcclAlltoAllVFunction
  let allGather: HcclAllGatherFunction
  let broadcast: HcclBroadcastFunction
  let allReduce: HcclAllReduceFunction
  let exchange: HcclBatchSendRecvFunction

  init(_ libraries: CANNLibraries) throws(AscendError) {
    getRootInformation = try libraries.required("HcclGetRootInfo", HcclGetRootInfoFunction.self)
    join = try libraries.required("HcclCommInitRootInfoConfig", HcclCommInitRootInfoConfigFunction.self)
    part = try libraries.required("HcclCreateSubCommConfig", HcclCreateSubCommConfigFunction.self)
    destroy = try libraries.required("HcclCommDestroy", HcclCommDestroyFunction.self)
    asynchronousError = try libraries.required("HcclGetCommAsyncError", HcclGetCommAsyncErrorFunction.self)
    describe = libraries.function("HcclGetErrorString", HcclGetErrorStringFunction.self)
    allToAll = try libraries.required("HcclAlltoAllV", HcclAlltoAllVFunction.self)
    allGather = try libraries.required("HcclAllGather", HcclAllGatherFunction.self)
    broadcast = try libraries.required("HcclBroadcast", HcclBroadcastFunction.self)
    allReduce = try libraries.required("HcclAllReduce", HcclAllReduceFunction.self)
    exchange = try libraries.required("HcclBatchSendRecv", HcclBatchSendRecvFunction.self)
  }

  /// Throws unless a status is success.
  func check(_ result: HcclResult, _ function: String, _ runtime: RuntimeFunctions) throws(CollectiveError) {
    if result == HCCL_SUCCESS { return }
    let meaning = describe.flatMap { $0(result) }.map { " (\(String(cString: $0)))" } ?? ""
    let remedy =
      result == HCCL_E_MEMORY
      ? "a communicator takes \(2 * Communicator.bufferMegabytes) MiB of the device's memory: see by npu-smi info what else takes "
        + "of it, or use a smaller video or --use-cpu-offload"
      : "see that all ranks run on devices of their own and reach each other (HCCL_SOCKET_IFNAME, HCCL_IF_IP)"
    throw CollectiveError(
      operation: function,
      reason: "expected success, found status \(result.rawValue)\(meaning): \(runtime.message); \(remedy)")
  }
}

/// Whether a communication, or something of the device that it needed, succeeds.
func communicating<Result, Failure: Error>(
  _ operation: String, _ body: () throws(Failure) -> Result
) throws(CollectiveError) -> Result {
  do { return try body() } catch { throw CollectiveError(operation: operation, reason: "\(error)") }
}
