// The operations of communicators.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "hccl.h"
#include "operators.h"

using namespace emulator;

static std::vector<Access> accesses(const std::vector<Buffer> &read, const std::vector<Buffer> &written) {
  std::vector<Access> all;
  for (auto &buffer : read)
    if (buffer.size > 0) all.push_back(devices().access(buffer.address, buffer.size, false));
  for (auto &buffer : written)
    if (buffer.size > 0) all.push_back(devices().access(buffer.address, buffer.size, true));
  return all;
}

static bool overlap(const Buffer &a, const Buffer &b) {
  auto x = reinterpret_cast<uintptr_t>(a.address), y = reinterpret_cast<uintptr_t>(b.address);
  return a.size > 0 && b.size > 0 && x < y + b.size && y < x + a.size;
}

// Sends every member its part and takes every member's; what a rank has for itself it copies.
static void exchange(
    Communicator &communicator, const char *name, const Signature &signature, const std::vector<Buffer> &sent,
    const std::vector<Buffer> &received, Stream &stream) {
  uint64_t sequence = communicator.issued++;
  communicator.enqueue(stream, name, accesses(sent, received), [&communicator, name, signature, sent, received, sequence] {
    uint32_t own = communicator.rank;
    for (uint32_t member = 0; member < sent.size(); member++)
      if (member != own) communicator.post(member, signature, sequence, sent[member].contents());
    received[own].fill(sent[own].contents());
    for (uint32_t member = 0; member < received.size(); member++)
      if (member != own) received[member].fill(communicator.take(member, signature, sequence, name).bytes);
  });
}

EMULATOR_EXPORT HcclResult HcclAlltoAllV(
    const void *sendBuffer, const void *sendCounts, const void *sendPlaces, HcclDataType sendType, const void *receiveBuffer,
    const void *receiveCounts, const void *receivePlaces, HcclDataType receiveType, HcclComm handle, aclrtStream stream) {
  return operate("HcclAlltoAllV", handle, stream, [&](Communicator &communicator, Stream &on) {
    if (!sendBuffer || !receiveBuffer) throw Refusal{nullOperand, "no memory to send or to receive"};
    if (!sendCounts || !sendPlaces || !receiveCounts || !receivePlaces) throw Refusal{nullOperand, "no counts or places"};
    if (devices().find(sendCounts) || devices().find(receiveCounts))
      throw Refusal{wrongMemory, "counts are in device memory"};
    if (sendType != receiveType) throw Refusal{invalidOperand, "what is sent and received has different types"};
    if (sendBuffer == receiveBuffer) throw Refusal{invalidOperand, "what is sent and received is the same memory"};
    auto parts = [&](const void *base, const void *counts, const void *places, const char *what) {
      std::vector<Buffer> all;
      for (size_t member = 0; member < communicator.members.size(); member++) {
        auto *start = static_cast<const std::byte *>(base) + static_cast<const uint64_t *>(places)[member] * byteCount(sendType);
        all.push_back(communicator.buffer(start, static_cast<const uint64_t *>(counts)[member], sendType, what));
      }
      return all;
    };
    auto sent = parts(sendBuffer, sendCounts, sendPlaces, "what is sent");
    auto received = parts(receiveBuffer, receiveCounts, receivePlaces, "what is received");
    for (size_t i = 0; i < received.size(); i++)
      for (size_t j = 0; j < received.size(); j++)
        if ((i < j && overlap(received[i], received[j])) || overlap(received[i], sent[j]))
          throw Refusal{invalidOperand, "what is received overlaps"};
    exchange(communicator, "HcclAlltoAllV", Signature{allToAll, uint32_t(sendType), 0, 0, 0}, sent, received, on);
  });
}

EMULATOR_EXPORT HcclResult HcclAllGather(
    void *sendBuffer, void *receiveBuffer, uint64_t count, HcclDataType type, HcclComm handle, aclrtStream stream) {
  return operate("HcclAllGather", handle, stream, [&](Communicator &communicator, Stream &on) {
    size_t ranks = communicator.members.size();
    Buffer mine = communicator.buffer(sendBuffer, count, type, "what is sent");
    Buffer all = communicator.buffer(receiveBuffer, count * ranks, type, "what is received");
    std::vector<Buffer> received;
    for (size_t member = 0; member < ranks; member++)
      received.push_back(Buffer{static_cast<std::byte *>(all.address) + member * mine.size, mine.size});
    if (overlap(mine, all)) throw Refusal{invalidOperand, "what is received overlaps"};
    exchange(
        communicator, "HcclAllGather", Signature{allGather, uint32_t(type), count, 0, 0}, std::vector<Buffer>(ranks, mine),
        received, on);
  });
}

EMULATOR_EXPORT HcclResult HcclBroadcast(
    void *buffer, uint64_t count, HcclDataType type, uint32_t root, HcclComm handle, aclrtStream stream) {
  return operate("HcclBroadcast", handle, stream, [&](Communicator &communicator, Stream &on) {
    if (root >= communicator.members.size()) throw Refusal{invalidOperand, "no such root"};
    Buffer memory = communicator.buffer(buffer, count, type, "the buffer");
    Signature signature{broadcast, uint32_t(type), count, root, 0};
    uint64_t sequence = communicator.issued++;
    bool isRoot = root == communicator.rank;
    auto touched = isRoot ? accesses({memory}, {}) : accesses({}, {memory});
    communicator.enqueue(on, "HcclBroadcast", touched, [&communicator, memory, signature, sequence, isRoot, root] {
      // The others send their signatures, so that the root too learns of a rank that does something else.
      for (uint32_t member = 0; member < communicator.members.size(); member++)
        if (member != communicator.rank)
          communicator.post(member, signature, sequence, isRoot ? memory.contents() : std::vector<std::byte>());
      for (uint32_t member = 0; member < communicator.members.size(); member++) {
        if (member == communicator.rank) continue;
        Parcel parcel = communicator.take(member, signature, sequence, "HcclBroadcast");
        if (member == root) memory.fill(parcel.bytes);
      }
    });
  });
}

static float reduced(float a, float b, HcclReduceOp reduction) {
  switch (reduction) {
    case HCCL_REDUCE_SUM: return a + b;
    case HCCL_REDUCE_PROD: return a * b;
    case HCCL_REDUCE_MAX: return std::max(a, b);
    default: return std::min(a, b);
  }
}

static aclDataType elementType(HcclDataType type) {
  switch (type) {
    case HCCL_DATA_TYPE_FP16: return ACL_FLOAT16;
    case HCCL_DATA_TYPE_BFP16: return ACL_BF16;
    case HCCL_DATA_TYPE_FP32: return ACL_FLOAT;
    case HCCL_DATA_TYPE_INT32: return ACL_INT32;
    case HCCL_DATA_TYPE_INT8: return ACL_INT8;
    default: throw Refusal{invalidOperand, "elements that are not reduced"};
  }
}

EMULATOR_EXPORT HcclResult HcclAllReduce(
    void *sendBuffer, void *receiveBuffer, uint64_t count, HcclDataType type, HcclReduceOp reduction, HcclComm handle,
    aclrtStream stream) {
  return operate("HcclAllReduce", handle, stream, [&](Communicator &communicator, Stream &on) {
    if (reduction == HCCL_REDUCE_PROD && type == HCCL_DATA_TYPE_BFP16) throw Refusal{invalidOperand, "no products of bfloat16"};
    Buffer mine = communicator.buffer(sendBuffer, count, type, "what is sent");
    Buffer result = communicator.buffer(receiveBuffer, count, type, "what is received");
    aclDataType element = elementType(type);
    Signature signature{allReduce, uint32_t(type), count, 0, uint32_t(reduction)};
    uint64_t sequence = communicator.issued++;
    auto touched = accesses({mine}, {result});
    communicator.enqueue(on, "HcclAllReduce", touched, [&communicator, mine, result, element, signature, sequence, reduction] {
      auto own = mine.contents();
      for (uint32_t member = 0; member < communicator.members.size(); member++)
        if (member != communicator.rank) communicator.post(member, signature, sequence, own);
      std::vector<float> sum;
      for (uint32_t member = 0; member < communicator.members.size(); member++) {
        auto bytes = member == communicator.rank
                         ? own
                         : communicator.take(member, signature, sequence, "HcclAllReduce").bytes;
        auto values = numbers(bytes, element);
        for (size_t i = 0; i < values.size(); i++)
          if (member == 0) sum.push_back(values[i]);
          else sum[i] = reduced(sum[i], values[i], reduction);
      }
      result.fill(stored(sum, element));
    });
  });
}

// What both ends of a message check alike.
static Buffer message(Communicator &communicator, const void *address, uint64_t count, HcclDataType type, uint32_t peer) {
  if (peer >= communicator.members.size() || peer == communicator.rank) throw Refusal{invalidOperand, "no other rank"};
  if (count == 0) throw Refusal{invalidOperand, "a message without elements"};
  return communicator.buffer(address, count, type, "a message");
}

// Done when the other rank has received: two ranks that both send first wait for ever.
EMULATOR_EXPORT HcclResult HcclSend(
    void *buffer, uint64_t count, HcclDataType type, uint32_t peer, HcclComm handle, aclrtStream stream) {
  return operate("HcclSend", handle, stream, [&](Communicator &communicator, Stream &on) {
    Buffer sent = message(communicator, buffer, count, type, peer);
    Signature signature{single, uint32_t(type), count, 0, 0}, answer{receipt, uint32_t(type), count, 0, 0};
    uint64_t sequence = communicator.issued;
    communicator.enqueue(on, "HcclSend", accesses({sent}, {}), [&communicator, sent, peer, signature, answer, sequence] {
      communicator.post(peer, signature, sequence, sent.contents());
      communicator.take(peer, answer, sequence, "HcclSend");
    });
  });
}

EMULATOR_EXPORT HcclResult HcclRecv(
    void *buffer, uint64_t count, HcclDataType type, uint32_t peer, HcclComm handle, aclrtStream stream) {
  return operate("HcclRecv", handle, stream, [&](Communicator &communicator, Stream &on) {
    Buffer received = message(communicator, buffer, count, type, peer);
    Signature signature{single, uint32_t(type), count, 0, 0}, answer{receipt, uint32_t(type), count, 0, 0};
    uint64_t sequence = communicator.issued;
    communicator.enqueue(on, "HcclRecv", accesses({}, {received}), [&communicator, received, peer, signature, answer, sequence] {
      received.fill(communicator.take(peer, signature, sequence, "HcclRecv").bytes);
      communicator.post(peer, answer, sequence, {});
    });
  });
}

EMULATOR_EXPORT HcclResult HcclBatchSendRecv(
    HcclSendRecvItem *items, uint32_t count, HcclComm handle, aclrtStream stream) {
  return operate("HcclBatchSendRecv", handle, stream, [&](Communicator &communicator, Stream &on) {
    if (!items || count == 0) throw Refusal{nullOperand, "nothing to send or receive"};
    struct Piece {
      uint32_t peer;
      Buffer buffer;
      Signature signature;
    };
    std::vector<Piece> sent, received;
    std::vector<Buffer> read, written;
    for (auto *item = items; item < items + count; item++) {
      if (item->remoteRank >= communicator.members.size() || item->remoteRank == communicator.rank)
        throw Refusal{invalidOperand, "no other rank"};
      if (item->count == 0) throw Refusal{invalidOperand, "an item without elements"};
      Buffer buffer = communicator.buffer(item->buf, item->count, item->dataType, "an item");
      auto &side = item->sendRecvType == HCCL_SEND ? sent : received;
      for (auto &other : side)
        if (other.peer == item->remoteRank)
          throw Refusal{invalidOperand, "a second item from or to the same rank, which the first may be taken for"};
      side.push_back(Piece{item->remoteRank, buffer, Signature{batch, uint32_t(item->dataType), item->count, 0, 0}});
      (item->sendRecvType == HCCL_SEND ? read : written).push_back(buffer);
    }
    // Only ranks that have something to do with each other take part; what they must agree on is what came before.
    uint64_t sequence = communicator.issued;
    communicator.enqueue(on, "HcclBatchSendRecv", accesses(read, written), [&communicator, sent, received, sequence] {
      for (auto &piece : sent) communicator.post(piece.peer, piece.signature, sequence, piece.buffer.contents());
      for (auto &piece : received)
        piece.buffer.fill(communicator.take(piece.peer, piece.signature, sequence, "HcclBatchSendRecv").bytes);
    });
  });
}

EMULATOR_PROTOTYPE(HcclAlltoAllV);
EMULATOR_PROTOTYPE(HcclAllGather);
EMULATOR_PROTOTYPE(HcclBroadcast);
EMULATOR_PROTOTYPE(HcclAllReduce);
EMULATOR_PROTOTYPE(HcclSend);
EMULATOR_PROTOTYPE(HcclRecv);
EMULATOR_PROTOTYPE(HcclBatchSendRecv);
