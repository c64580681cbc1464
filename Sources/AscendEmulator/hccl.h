// How an emulated communicator works: an operation is put on a stream and runs when the stream comes to it; each rank sends its
// part to the others as parcels and takes theirs.
#pragma once

#include <type_traits>

#include "links.h"

namespace emulator {

// Operations, for signatures.
enum Operation : uint32_t { allReduce, broadcast, allGather, allToAll, batch, single, receipt };

// Device memory of one rank in an operation.
struct Buffer {
  void *address;
  size_t size;
  std::vector<std::byte> contents() const;
  // Refuses bytes of another number.
  void fill(const std::vector<std::byte> &bytes) const;
};

struct Communicator : std::enable_shared_from_this<Communicator> {
  std::shared_ptr<Links> links;
  // The communicator that this is a part of.
  std::shared_ptr<Communicator> whole;
  // Zero for the whole.
  uint64_t number = 0;
  // Ranks of the whole, by rank here.
  std::vector<uint32_t> members;
  uint64_t membersDigest = 0;
  uint32_t rank = 0;
  int device = 0;
  size_t bytes = 0;
  std::vector<uint64_t> partNumbers;
  // Collective operations put on streams so far.
  uint64_t issued = 0;
  long underWay = 0;
  HcclResult failure = HCCL_SUCCESS;
  // Places on streams up to which work is to be done.
  std::deque<std::pair<Stream *, uint64_t>> waiting;
  bool isDestroyed = false;
  // What the operation that runs waits for: a member's next parcel. Nothing while it does not wait.
  struct Wait {
    uint64_t number;
    uint32_t member;
    std::string operation;
  };
  std::optional<Wait> wait;
  uint64_t waits = 0;
  // Ranks that wait for each other in a circle, in words, once that is known.
  std::string deadlock;

  std::string name(uint32_t member) const;
  // A buffer of so many elements, on this device.
  Buffer buffer(const void *address, uint64_t count, HcclDataType type, const char *what) const;
  void enqueue(Stream &stream, const std::string &operation, std::vector<Access> accesses, std::function<void()> body);

  // While an operation runs: what a member is sent, and what it has sent, once it is here. Refuses what does not fit.
  void post(uint32_t to, const Signature &signature, uint64_t sequence, std::vector<std::byte> bytes);
  Parcel take(uint32_t from, const Signature &signature, uint64_t sequence, const std::string &operation);
  // Asks the member that is waited for whether it waits itself; `path` says who asks, and for whom.
  void inquire(uint32_t initiator, uint64_t wait, uint32_t steps, const std::string &path) const;
};

size_t byteCount(HcclDataType type);
HcclResult resultOf(int status);
std::shared_ptr<Communicator> communicatorOf(HcclComm handle);
// An operation's call: checks, then `enqueue`.
HcclResult operate(
    const char *name, HcclComm handle, aclrtStream stream, const std::function<void(Communicator &, Stream &)> &body);

}  // namespace emulator
