import CAscend

/// The functions of the runtime that every use of a device needs.
struct RuntimeFunctions: Sendable {
  let initialize: aclInitFunction
  let finalize: aclFinalizeFunction
  let recentMessage: aclGetRecentErrMsgFunction
  let deviceCount: aclrtGetDeviceCountFunction
  let setDevice: aclrtSetDeviceFunction
  let resetDevice: aclrtResetDeviceFunction
  let socName: aclrtGetSocNameFunction
  let memoryInfo: aclrtGetMemInfoFunction
  let allocate: aclrtMallocFunction
  let free: aclrtFreeFunction
  let allocateHost: aclrtMallocHostFunction
  let freeHost: aclrtFreeHostFunction
  let copy: aclrtMemcpyAsyncFunction
  let createStream: aclrtCreateStreamWithConfigFunction
  let destroyStream: aclrtDestroyStreamFunction
  let synchronize: aclrtSynchronizeStreamFunction
  let createEvent: aclrtCreateEventExWithFlagFunction
  let destroyEvent: aclrtDestroyEventFunction
  let recordEvent: aclrtRecordEventFunction
  let waitForEvent: aclrtStreamWaitEventFunction
  let synchronizeEvent: aclrtSynchronizeEventFunction
  let elapsedTime: aclrtEventElapsedTimeFunction
  let createTensor: aclCreateTensorFunction
  let createTensorList: aclCreateTensorListFunction
  let createScalar: aclCreateScalarFunction
  let createIntegers: aclCreateIntArrayFunction
  let destroyTensor: aclDestroyTensorFunction
  let destroyTensorList: aclDestroyTensorListFunction
  let destroyScalar: aclDestroyScalarFunction
  let destroyIntegers: aclDestroyIntArrayFunction
  let destroyExecutor: aclDestroyAclOpExecutorFunction

  init(_ libraries: CANNLibraries) throws(AscendError) {
    initialize = try libraries.required("aclInit", aclInitFunction.self)
    finalize = try libraries.required("aclFinalize", aclFinalizeFunction.self)
    recentMessage = try libraries.required("aclGetRecentErrMsg", aclGetRecentErrMsgFunction.self)
    deviceCount = try libraries.required("aclrtGetDeviceCount", aclrtGetDeviceCountFunction.self)
    setDevice = try libraries.required("aclrtSetDevice", aclrtSetDeviceFunction.self)
    resetDevice = try libraries.required("aclrtResetDevice", aclrtResetDeviceFunction.self)
    socName = try libraries.required("aclrtGetSocName", aclrtGetSocNameFunction.self)
    memoryInfo = try libraries.required("aclrtGetMemInfo", aclrtGetMemInfoFunction.self)
    allocate = try libraries.required("aclrtMalloc", aclrtMallocFunction.self)
    free = try libraries.required("aclrtFree", aclrtFreeFunction.self)
    allocateHost = try libraries.required("aclrtMallocHost", aclrtMallocHostFunction.self)
    freeHost = try libraries.required("aclrtFreeHost", aclrtFreeHostFunction.self)
    copy = try libraries.required("aclrtMemcpyAsync", aclrtMemcpyAsyncFunction.self)
    createStream = try libraries.required("aclrtCreateStreamWithConfig", aclrtCreateStreamWithConfigFunction.self)
    destroyStream = try libraries.required("aclrtDestroyStream", aclrtDestroyStreamFunction.self)
    synchronize = try libraries.required("aclrtSynchronizeStream", aclrtSynchronizeStreamFunction.self)
    createEvent = try libraries.required("aclrtCreateEventExWithFlag", aclrtCreateEventExWithFlagFunction.self)
    destroyEvent = try libraries.required("aclrtDestroyEvent", aclrtDestroyEventFunction.self)
    recordEvent = try libraries.required("aclrtRecordEvent", aclrtRecordEventFunction.self)
    waitForEvent = try libraries.required("aclrtStreamWaitEvent", aclrtStreamWaitEventFunction.self)
    synchronizeEvent = try libraries.required("aclrtSynchronizeEvent", aclrtSynchronizeEventFunction.self)
    elapsedTime = try libraries.required("aclrtEventElapsedTime", aclrtEventElapsedTimeFunction.self)
    createTensor = try libraries.required("aclCreateTensor", aclCreateTensorFunction.self)
    createTensorList = try libraries.required("aclCreateTensorList", aclCreateTensorListFunction.self)
    createScalar = try libraries.required("aclCreateScalar", aclCreateScalarFunction.self)
    createIntegers = try libraries.required("aclCreateIntArray", aclCreateIntArrayFunction.self)
    destroyTensor = try libraries.required("aclDestroyTensor", aclDestroyTensorFunction.self)
    destroyTensorList = try libraries.required("aclDestroyTensorList", aclDestroyTensorListFunction.self)
    destroyScalar = try libraries.required("aclDestroyScalar", aclDestroyScalarFunction.self)
    destroyIntegers = try libraries.required("aclDestroyIntArray", aclDestroyIntArrayFunction.self)
    destroyExecutor = try libraries.required("aclDestroyAclOpExecutor", aclDestroyAclOpExecutorFunction.self)
  }

  /// Lets a stream wait for an event.
  func wait(_ stream: aclrtStream?, for event: aclrtEvent?) throws(AscendError) {
    try check(waitForEvent(stream, event), "aclrtStreamWaitEvent")
  }

  /// CANN's words for the last failure of the calling thread; asking clears them.
  var message: String {
    guard let text = recentMessage() else { return "" }
    return String(cString: text).split(whereSeparator: \.isNewline).joined(separator: " ")
  }

  /// Throws unless a status is success.
  func check(_ status: aclError, _ function: String) throws(AscendError) {
    if status != 0 { throw .callFailed(function: function, status: Int(status), message: message) }
  }
}
