// Types of the functions of libms_tools_ext.so, by which profilers are told what the program is doing. Without a profiler
// they do nothing.
#pragma once

#include "ascend_types.h"

// A moment, on the host and on the stream.
typedef void (*mstxMarkAFunction)(const char *message, aclrtStream stream);
// A stretch of time; 0 is no range.
typedef uint64_t (*mstxRangeStartAFunction)(const char *message, aclrtStream stream);
typedef void (*mstxRangeEndFunction)(uint64_t id);
