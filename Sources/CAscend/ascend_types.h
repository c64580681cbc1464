// The types and constants of AscendCL and aclnn that the program uses, in its own words: nothing of CANN is needed to
// build it, and its libraries are loaded when a device is asked for. Tools/check-cann-abi compares every name here with
// the vendor's headers.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The check compiles the prototypes of the other headers with the vendor's own types.
#ifndef CASCEND_VENDOR_TYPES

typedef int aclError;
typedef int32_t aclnnStatus;

// Handles; what they point to belongs to CANN.
typedef void *aclrtStream;
typedef void *aclrtEvent;
typedef struct aclTensor aclTensor;
typedef struct aclTensorList aclTensorList;
typedef struct aclScalar aclScalar;
typedef struct aclIntArray aclIntArray;
typedef struct aclOpExecutor aclOpExecutor;

// Types of elements. Members that nothing here uses are left out; -1 makes the type signed, as the vendor's is.
typedef enum {
  ACL_DT_UNDEFINED = -1,
  ACL_FLOAT = 0,
  ACL_FLOAT16 = 1,
  ACL_INT8 = 2,
  ACL_INT32 = 3,
  ACL_UINT8 = 4,
  ACL_INT64 = 9,
  ACL_BOOL = 12,
  ACL_BF16 = 27,
} aclDataType;

// Meanings of axes. Convolutions and resizing ask for NCDHW, everything else takes ND.
typedef enum {
  ACL_FORMAT_UNDEFINED = -1,
  ACL_FORMAT_ND = 2,
  ACL_FORMAT_NCDHW = 30,
} aclFormat;

// Pages of 2 MiB where they fit, else of 4 KiB.
typedef enum {
  ACL_MEM_MALLOC_HUGE_FIRST = 0,
} aclrtMemMallocPolicy;

typedef enum {
  ACL_MEMCPY_HOST_TO_DEVICE = 1,
  ACL_MEMCPY_DEVICE_TO_HOST = 2,
  ACL_MEMCPY_DEVICE_TO_DEVICE = 3,
} aclrtMemcpyKind;

// Which memory aclrtGetMemInfo speaks of.
typedef enum {
  ACL_HBM_MEM = 1,
} aclrtMemAttr;

#endif

// Flags and codes, which the vendor's headers define as macros or constants: same values, own names.
enum {
  CASCEND_STREAM_FAST_LAUNCH = 0x1,       // ACL_STREAM_FAST_LAUNCH
  CASCEND_STREAM_FAST_SYNC = 0x2,         // ACL_STREAM_FAST_SYNC
  CASCEND_EVENT_SYNC = 0x1,               // ACL_EVENT_SYNC
  CASCEND_EVENT_TIME_LINE = 0x8,          // ACL_EVENT_TIME_LINE
  CASCEND_REPEAT_INITIALIZE = 100002,     // ACL_ERROR_REPEAT_INITIALIZE
  CASCEND_RT_MEMORY_ALLOCATION = 207001,  // ACL_ERROR_RT_MEMORY_ALLOCATION
  CASCEND_RT_DEVICE_OOM = 207018,         // from CANN 8.5: ACL_ERROR_RT_DEVICE_OOM
};
