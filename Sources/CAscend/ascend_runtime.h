// Types of the functions of libascendcl.so (aclrt…) and libnnopbase.so (descriptors). Each is named after its function.
#pragma once

#include "ascend_types.h"

// The process and its messages.
typedef aclError (*aclInitFunction)(const char *configPath);
typedef aclError (*aclFinalizeFunction)(void);
typedef const char *(*aclGetRecentErrMsgFunction)(void);

// Devices.
typedef const char *(*aclrtGetSocNameFunction)(void);
typedef aclError (*aclrtGetDeviceCountFunction)(uint32_t *count);
typedef aclError (*aclrtSetDeviceFunction)(int32_t deviceId);
typedef aclError (*aclrtResetDeviceFunction)(int32_t deviceId);
typedef aclError (*aclrtGetMemInfoFunction)(aclrtMemAttr attr, size_t *free, size_t *total);

// Memory.
typedef aclError (*aclrtMallocFunction)(void **devPtr, size_t size, aclrtMemMallocPolicy policy);
typedef aclError (*aclrtFreeFunction)(void *devPtr);
typedef aclError (*aclrtMallocHostFunction)(void **hostPtr, size_t size);
typedef aclError (*aclrtFreeHostFunction)(void *hostPtr);
typedef aclError (*aclrtMemcpyAsyncFunction)(
    void *dst, size_t destMax, const void *src, size_t count, aclrtMemcpyKind kind, aclrtStream stream);

// Streams and events.
typedef aclError (*aclrtCreateStreamWithConfigFunction)(aclrtStream *stream, uint32_t priority, uint32_t flag);
typedef aclError (*aclrtDestroyStreamFunction)(aclrtStream stream);
typedef aclError (*aclrtSynchronizeStreamFunction)(aclrtStream stream);
typedef aclError (*aclrtCreateEventExWithFlagFunction)(aclrtEvent *event, uint32_t flag);
typedef aclError (*aclrtDestroyEventFunction)(aclrtEvent event);
typedef aclError (*aclrtRecordEventFunction)(aclrtEvent event, aclrtStream stream);
typedef aclError (*aclrtStreamWaitEventFunction)(aclrtStream stream, aclrtEvent event);
typedef aclError (*aclrtSynchronizeEventFunction)(aclrtEvent event);
typedef aclError (*aclrtEventElapsedTimeFunction)(float *ms, aclrtEvent startEvent, aclrtEvent endEvent);

// Descriptors of operands.
typedef aclTensor *(*aclCreateTensorFunction)(
    const int64_t *viewDims, uint64_t viewDimsNum, aclDataType dataType, const int64_t *stride, int64_t offset,
    aclFormat format, const int64_t *storageDims, uint64_t storageDimsNum, void *tensorData);
typedef aclnnStatus (*aclSetRawTensorAddrFunction)(aclTensor *tensor, void *addr);
typedef aclTensorList *(*aclCreateTensorListFunction)(const aclTensor *const *value, uint64_t size);
typedef aclScalar *(*aclCreateScalarFunction)(void *value, aclDataType dataType);
typedef aclIntArray *(*aclCreateIntArrayFunction)(const int64_t *value, uint64_t size);
typedef aclnnStatus (*aclDestroyTensorFunction)(const aclTensor *tensor);
typedef aclnnStatus (*aclDestroyTensorListFunction)(const aclTensorList *array);
typedef aclnnStatus (*aclDestroyScalarFunction)(const aclScalar *scalar);
typedef aclnnStatus (*aclDestroyIntArrayFunction)(const aclIntArray *array);
typedef aclnnStatus (*aclDestroyAclOpExecutorFunction)(aclOpExecutor *executor);
