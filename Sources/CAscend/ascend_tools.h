// Types of the functions by which profilers are told what the program is doing.
#pragma once

#include "ascend_types.h"

// libms_tools_ext.so. Without a profiler they do nothing.

// A moment, on the host and on the stream.
typedef void (*mstxMarkAFunction)(const char *message, aclrtStream stream);
// A stretch of time; 0 is no range.
typedef uint64_t (*mstxRangeStartAFunction)(const char *message, aclrtStream stream);
typedef void (*mstxRangeEndFunction)(uint64_t id);

// libmsprofiler.so: what there was before. Without a profiler there is no stamp to be had.

// What a range is described by; null where no profiler records, or where too many are alive.
typedef void *(*aclprofCreateStampFunction)(void);
typedef void (*aclprofDestroyStampFunction)(void *stamp);
typedef aclError (*aclprofSetStampTraceMessageFunction)(void *stamp, const char *msg, uint32_t msgLen);
// A stretch of time on the host.
typedef aclError (*aclprofRangeStartFunction)(void *stamp, uint32_t *rangeId);
typedef aclError (*aclprofRangeStopFunction)(uint32_t rangeId);
// A moment, on the host and on the stream.
typedef aclError (*aclprofMarkExFunction)(const char *msg, size_t msgLen, aclrtStream stream);
