// Types of the functions of libhccl.so and libhcomm.so: communicators over several devices. Each is named after its function.
#pragma once

#include <string.h>

#include "ascend_types.h"

#ifndef CASCEND_VENDOR_TYPES

typedef void *HcclComm;

// Members that nothing here uses are left out.
typedef enum {
  HCCL_SUCCESS = 0,
  HCCL_E_PARA = 1,
  HCCL_E_PTR = 2,
  HCCL_E_MEMORY = 3,
  HCCL_E_NOT_FOUND = 6,
  HCCL_E_TIMEOUT = 9,
  HCCL_E_TCP_CONNECT = 11,
  HCCL_E_RUNTIME = 15,
  HCCL_E_AGAIN = 20,
  HCCL_E_REMOTE = 21,
} HcclResult;

// Not the numbers of aclDataType.
typedef enum {
  HCCL_DATA_TYPE_INT8 = 0,
  HCCL_DATA_TYPE_INT32 = 2,
  HCCL_DATA_TYPE_FP16 = 3,
  HCCL_DATA_TYPE_FP32 = 4,
  HCCL_DATA_TYPE_INT64 = 5,
  HCCL_DATA_TYPE_UINT8 = 7,
  HCCL_DATA_TYPE_BFP16 = 11,
} HcclDataType;

typedef enum {
  HCCL_REDUCE_SUM = 0,
  HCCL_REDUCE_PROD = 1,
  HCCL_REDUCE_MAX = 2,
  HCCL_REDUCE_MIN = 3,
} HcclReduceOp;

typedef enum {
  HCCL_SEND = 0,
  HCCL_RECV = 1,
} HcclSendRecvType;

// How ranks find each other: made by one of them and given to the others by other means.
typedef struct HcclRootInfoDef {
  char internal[4108];
} HcclRootInfo;

typedef struct HcclSendRecvItemDef {
  HcclSendRecvType sendRecvType;
  void *buf;
  uint64_t count;
  HcclDataType dataType;
  uint32_t remoteRank;
} HcclSendRecvItem;

// As of version 5 (CANN 8.2); later ones add members behind these and take the shorter form too.
typedef struct HcclCommConfigDef {
  char reserved[24];  // size_t size; uint32_t magic, version; uint64_t zero
  uint32_t hcclBufferSize;  // MiB
  uint32_t hcclDeterministic;
  char hcclCommName[128];
  char hcclUdi[128];
  uint32_t hcclOpExpansionMode;
  uint32_t hcclRdmaTrafficClass;
  uint32_t hcclRdmaServiceLevel;
} HcclCommConfig;

#endif

enum {
  CASCEND_HCCL_CONFIG_MAGIC = 0xf0f0f0f0,     // HCCL_COMM_CONFIG_MAGIC_WORD
  CASCEND_HCCL_CONFIG_VERSION = 5,            // HCCL_COMM_CONFIG_VERSION
  CASCEND_HCCL_RDMA_DEFAULT = 0xffffffff,     // HCCL_COMM_TRAFFIC_CLASS_CONFIG_NOT_SET
  CASCEND_HCCL_ROOT_INFO_BYTES = 4108,        // HCCL_ROOT_INFO_BYTES
};

// A configuration as the vendor's HcclCommConfigInit, an inline function of its own header, makes it, with buffers of so many MiB.
static inline HcclCommConfig cascend_hccl_configuration(uint32_t bufferMegabytes) {
  HcclCommConfig made;
  size_t size = sizeof made;
  uint32_t words[2] = {(uint32_t)CASCEND_HCCL_CONFIG_MAGIC, CASCEND_HCCL_CONFIG_VERSION};
  memset(&made, 0, sizeof made);
  memcpy(made.reserved, &size, sizeof size);
  memcpy(made.reserved + sizeof size, words, sizeof words);
  made.hcclBufferSize = bufferMegabytes;
  made.hcclRdmaTrafficClass = (uint32_t)CASCEND_HCCL_RDMA_DEFAULT;
  made.hcclRdmaServiceLevel = (uint32_t)CASCEND_HCCL_RDMA_DEFAULT;
  return made;
}

// Communicators.
typedef HcclResult (*HcclGetRootInfoFunction)(HcclRootInfo *rootInfo);
typedef HcclResult (*HcclCommInitRootInfoFunction)(
    uint32_t nRanks, const HcclRootInfo *rootInfo, uint32_t rank, HcclComm *comm);
typedef HcclResult (*HcclCommInitRootInfoConfigFunction)(
    uint32_t nRanks, const HcclRootInfo *rootInfo, uint32_t rank, const HcclCommConfig *config, HcclComm *comm);
typedef HcclResult (*HcclCreateSubCommConfigFunction)(
    HcclComm *comm, uint32_t rankNum, uint32_t *rankIds, uint64_t subCommId, uint32_t subCommRankId,
    HcclCommConfig *config, HcclComm *subComm);
typedef HcclResult (*HcclCommDestroyFunction)(HcclComm comm);
typedef HcclResult (*HcclGetCommAsyncErrorFunction)(HcclComm comm, HcclResult *asyncError);
typedef const char *(*HcclGetErrorStringFunction)(HcclResult code);

// Operations, which are put on a stream.
typedef HcclResult (*HcclAllReduceFunction)(
    void *sendBuf, void *recvBuf, uint64_t count, HcclDataType dataType, HcclReduceOp op, HcclComm comm,
    aclrtStream stream);
typedef HcclResult (*HcclBroadcastFunction)(
    void *buf, uint64_t count, HcclDataType dataType, uint32_t root, HcclComm comm, aclrtStream stream);
typedef HcclResult (*HcclAllGatherFunction)(
    void *sendBuf, void *recvBuf, uint64_t sendCount, HcclDataType dataType, HcclComm comm, aclrtStream stream);
typedef HcclResult (*HcclAlltoAllVFunction)(
    const void *sendBuf, const void *sendCounts, const void *sdispls, HcclDataType sendType, const void *recvBuf,
    const void *recvCounts, const void *rdispls, HcclDataType recvType, HcclComm comm, aclrtStream stream);
typedef HcclResult (*HcclSendFunction)(
    void *sendBuf, uint64_t count, HcclDataType dataType, uint32_t destRank, HcclComm comm, aclrtStream stream);
typedef HcclResult (*HcclRecvFunction)(
    void *recvBuf, uint64_t count, HcclDataType dataType, uint32_t srcRank, HcclComm comm, aclrtStream stream);
typedef HcclResult (*HcclBatchSendRecvFunction)(
    HcclSendRecvItem *sendRecvInfo, uint32_t itemNum, HcclComm comm, aclrtStream stream);
