// Communicators of several devices: how they are made, and what all their operations have in common.
#include "hccl.h"

#include <algorithm>
#include <cstring>
#include <thread>

namespace emulator {

// MARK: Status

HcclResult resultOf(int status) {
  switch (status) {
    case success: return HCCL_SUCCESS;
    case outOfMemory: return HCCL_E_MEMORY;
    case nullOperand: return HCCL_E_PTR;
    case kernelFailed: return HCCL_E_REMOTE;
    case uninitialized: case noContext: return HCCL_E_RUNTIME;
    default: return HCCL_E_PARA;
  }
}

size_t byteCount(HcclDataType type) {
  switch (type) {
    case HCCL_DATA_TYPE_INT8: case HCCL_DATA_TYPE_UINT8: return 1;
    case HCCL_DATA_TYPE_FP16: case HCCL_DATA_TYPE_BFP16: return 2;
    case HCCL_DATA_TYPE_INT32: case HCCL_DATA_TYPE_FP32: return 4;
    case HCCL_DATA_TYPE_INT64: return 8;
    default: throw Refusal{invalidOperand, "a type of elements that nobody needs"};
  }
}

std::shared_ptr<Communicator> communicatorOf(HcclComm handle) {
  auto &all = devices().communicators;
  auto found = all.find(handle);
  if (found == all.end()) throw Refusal{invalidOperand, "no living communicator"};
  if (found->second->device != currentDevice()) throw Refusal{invalidOperand, "the communicator is another device's"};
  return found->second;
}

std::string Communicator::name(uint32_t member) const { return "rank " + std::to_string(member); }

// MARK: Operations

void Communicator::post(uint32_t to, const Signature &signature, uint64_t sequence, std::vector<std::byte> bytes) {
  links->send(members[to], Parcel{{number, membersDigest, sequence, signature, 0}, std::move(bytes)});
}

static bool isPointToPoint(const Signature &signature) {
  return signature.kind == batch || signature.kind == single || signature.kind == receipt;
}

// Operations of a communicator run in order, and each waits for one member's parcel at a time. So ranks that wait for each other in
// a circle, each having got all that the next has sent it, wait for ever: who begins to wait asks the one that it waits for, that
// one the next, and where the question comes back it was a circle (Chandy, Misra and Haas 1983).
void Communicator::inquire(uint32_t initiator, uint64_t number, uint32_t steps, const std::string &path) const {
  uint32_t next = members[wait->member];
  std::string text = path + links->name() + " waits in " + wait->operation + " for rank " + std::to_string(next);
  auto *bytes = reinterpret_cast<const std::byte *>(text.data());
  Signature signature{inquiry, 0, number, initiator, steps};
  links->send(next, Parcel{{this->number, membersDigest, links->arrivals[next][this->number], signature, 0},
                           std::vector<std::byte>(bytes, bytes + text.size())});
}

void answer(Links &links, uint32_t from, const Parcel &question) {
  const ParcelHeader &header = question.header;
  for (auto &[handle, communicator] : devices().communicators) {
    if (communicator->links.get() != &links || communicator->number != header.communicator || !communicator->wait) continue;
    uint32_t awaited = communicator->members[communicator->wait->member];
    auto &queue = links.arrived[awaited];
    bool goesOn = std::any_of(queue.begin(), queue.end(), [&](const Parcel &p) { return p.header.communicator == header.communicator; });
    // Something is on its way to the one that asks.
    bool isSatisfied = links.departures[from][header.communicator] != header.sequence;
    if (goesOn || isSatisfied || header.signature.reduction > links.size) continue;
    std::string path(reinterpret_cast<const char *>(question.bytes.data()), question.bytes.size());
    if (header.signature.root != links.rank) {
      communicator->inquire(header.signature.root, header.signature.count, header.signature.reduction + 1, path + ", ");
    } else if (header.signature.count == communicator->wait->number) {
      communicator->deadlock = path;
      devices().changed.notify_all();
    }
  }
}

Parcel Communicator::take(uint32_t from, const Signature &signature, uint64_t sequence, const std::string &operation) {
  auto &queue = links->arrived[members[from]];
  std::string problem;
  auto next = queue.end();
  auto look = [&] {
    next = std::find_if(queue.begin(), queue.end(), [&](const Parcel &p) { return p.header.communicator == number; });
    // What a rank sends comes in the order of its stream: something else first is something else for good.
    return next != queue.end() || !links->ended[members[from]].empty() || !deadlock.empty();
  };
  if (!look()) {
    wait = Wait{++waits, from, operation};
    inquire(links->rank, waits, 1, "");
  }
  bool hasCome = devices().wait(patience(), look);
  wait.reset();
  if (next == queue.end() && !deadlock.empty()) throw Refusal{invalidOperand, operation + ": a deadlock: " + deadlock};
  if (!hasCome)
    throw Refusal{kernelFailed, operation + ": " + name(from) + " has sent nothing; it may wait for something else"};
  if (next == queue.end()) throw Refusal{kernelFailed, operation + ": " + links->ended[members[from]]};
  const ParcelHeader &header = next->header;
  if (header.members != membersDigest) {
    problem = "has other ranks in this communicator";
  } else if (header.signature.kind == single && signature.kind == receipt) {
    problem = "sends too: each waits until the other receives, a deadlock";
  } else if (isPointToPoint(header.signature) != isPointToPoint(signature) || header.sequence != sequence) {
    problem = "does another operation at this place";
  } else if (header.signature.kind != signature.kind) {
    problem = "does another operation";
  } else if (header.signature.type != signature.type) {
    problem = "has another type of elements";
  } else if (header.signature.count != signature.count) {
    problem = "has " + std::to_string(header.signature.count) + " elements, not " + std::to_string(signature.count);
  } else if (header.signature.root != signature.root) {
    problem = "has another root";
  } else if (header.signature.reduction != signature.reduction) {
    problem = "has another reduction";
  }
  if (!problem.empty())
    throw Refusal{invalidOperand, operation + ", number " + std::to_string(sequence) + ": " + name(from) + " " + problem};
  Parcel parcel = std::move(*next);
  queue.erase(next);
  return parcel;
}

// Does what is on the streams of communicators without anybody waiting for it, as devices do: a rank whose host waits for a
// message from another rank's host must not keep that rank's device waiting.
static void serve(std::shared_ptr<Communicator> communicator) {
  std::unique_lock<std::recursive_mutex> held(devices().lock);
  while (true) {
    devices().changed.wait(held, [&] { return !communicator->waiting.empty() || communicator->isDestroyed; });
    if (communicator->waiting.empty()) return;
    auto [stream, position] = communicator->waiting.front();
    communicator->waiting.pop_front();
    if (devices().streams.count(stream)) devices().run(*stream, position);
  }
}

void Communicator::enqueue(
    Stream &stream, const std::string &operation, std::vector<Access> accesses, std::function<void()> body) {
  if (devices().isDry) {
    size_t read = 0, written = 0;
    for (auto &access : accesses) (access.isWritten ? written : read) += access.end - access.start;
    devices().accounts[std::tuple(operation, 0.0, read, written, size_t(0))]++;
    return devices().add(stream, Task{operation, std::move(accesses), nullptr});
  }
  auto self = shared_from_this();
  devices().add(stream, Task{operation, std::move(accesses), [self, operation, body = std::move(body)] {
    Devices &all = devices();
    all.runs[operation]++;
    struct End {
      Communicator &communicator;
      ~End() { communicator.underWay--; }
    } end{*self};
    try {
      if (all.collectivesUntilFailure > 0 && --all.collectivesUntilFailure == 0) {
        self->links->vanish();
        throw Refusal{kernelFailed, operation + ": the device vanished, on demand"};
      }
      if (self->failure != HCCL_SUCCESS) throw Refusal{kernelFailed, operation + ": the communicator has failed before"};
      if (!all.wait(patience(), [&] { return !all.holdsCollectives; }))
        throw Refusal{kernelFailed, operation + ": held back, on demand"};
      body();
      all.wait(patience(), [&] { return self->links->isFlushed(); });
    } catch (const Refusal &refusal) {
      if (self->failure == HCCL_SUCCESS) {
        self->failure = resultOf(refusal.status);
        self->links->fail(refusal.text);
      }
      throw;
    }
  }});
  underWay++;
  waiting.emplace_back(&stream, stream.added);
  devices().changed.notify_all();
}

Buffer Communicator::buffer(const void *address, uint64_t count, HcclDataType type, const char *what) const {
  size_t size = byteCount(type);
  if (!address) throw Refusal{nullOperand, std::string(what) + " is missing"};
  if (reinterpret_cast<uintptr_t>(address) % size != 0) throw Refusal{invalidOperand, std::string(what) + " is not aligned"};
  if (count == 0) return Buffer{const_cast<void *>(address), 0};
  devices().bytes(address, count * size, what);
  if (devices().find(address)->second.device != device)
    throw Refusal{wrongMemory, std::string(what) + " is another device's memory"};
  return Buffer{const_cast<void *>(address), count * size};
}

std::vector<std::byte> Buffer::contents() const {
  if (size == 0) return {};
  auto *bytes = devices().bytes(address, size, "a buffer");
  return {bytes, bytes + size};
}

void Buffer::fill(const std::vector<std::byte> &bytes) const {
  if (bytes.size() != size)
    throw Refusal{invalidOperand, std::to_string(bytes.size()) + " bytes for a buffer of " + std::to_string(size)};
  if (size > 0) std::memcpy(devices().bytes(address, size, "a buffer"), bytes.data(), size);
}

HcclResult operate(
    const char *name, HcclComm handle, aclrtStream streamHandle,
    const std::function<void(Communicator &, Stream &)> &body) {
  return resultOf(guarded(name, [&] {
    auto communicator = communicatorOf(handle);
    Stream &stream = streamOf(streamHandle);
    body(*communicator, stream);
  }));
}

// MARK: Making and ending

// Refuses a configuration that HcclCommConfigInit would not have made, and returns the bytes of its buffers: one for what is
// sent and one for what is received.
static size_t bufferBytes(const HcclCommConfig *config) {
  if (!config) throw Refusal{nullOperand, "no configuration"};
  struct {
    size_t size;
    uint32_t magic, version;
    uint64_t zero;
  } information;
  static_assert(sizeof information == sizeof config->reserved);
  std::memcpy(&information, config->reserved, sizeof information);
  if (information.magic != uint32_t(CASCEND_HCCL_CONFIG_MAGIC))
    throw Refusal{invalidOperand, "the configuration has not been initialized"};
  if (information.size != sizeof(HcclCommConfig) || information.version != CASCEND_HCCL_CONFIG_VERSION)
    throw Refusal{invalidOperand, "the configuration's size does not belong to its version"};
  if (config->hcclBufferSize < 1) throw Refusal{invalidOperand, "a buffer of no size"};
  for (auto *name : {config->hcclCommName, config->hcclUdi})
    if (!std::memchr(name, 0, sizeof config->hcclCommName)) throw Refusal{invalidOperand, "a name without an end"};
  return size_t(config->hcclBufferSize) << 21;
}

// Made known, with its memory taken.
static HcclComm registered(std::shared_ptr<Communicator> made) {
  uint64_t digest = 14695981039346656037u;
  for (uint32_t member : made->members) digest = (digest ^ (member + 1)) * 1099511628211u;
  made->membersDigest = digest;
  devices().objects[made.get()] = "communicator";
  devices().communicators[made.get()] = made;
  if (!devices().isDry) std::thread(serve, made).detach();
  return made.get();
}

static HcclResult join(
    const char *function, uint32_t count, const HcclRootInfo *information, uint32_t rank, size_t bytes, HcclComm *handle) {
  int device = -1;
  int status = guarded(function, [&] {
    device = currentDevice();
    if (!information || !handle) throw Refusal{nullOperand, "no root information, or no place for the communicator"};
    if (rank >= count) throw Refusal{invalidOperand, "no such rank"};
    if (!std::memchr(information->internal, 0, sizeof information->internal) || !information->internal[0])
      throw Refusal{invalidOperand, "this is no root information"};
    devices().take(device, bytes);
  });
  if (status != success) return resultOf(status);
  std::string reason;
  // In a dry run the other ranks are not there.
  bool isDry = devices().isDry;
  auto links = isDry ? nullptr : Links::join(information->internal, count, rank, device, reason);
  status = guarded(function, [&] {
    if (!links && !isDry) {
      devices().used[size_t(device)] -= bytes;
      throw Refusal{kernelFailed, reason};
    }
    auto made = std::make_shared<Communicator>();
    made->links = links;
    for (uint32_t member = 0; member < count; member++) made->members.push_back(member);
    made->rank = rank;
    made->device = device;
    made->bytes = bytes;
    *handle = registered(made);
  });
  return status == kernelFailed ? HCCL_E_TCP_CONNECT : resultOf(status);
}

}  // namespace emulator

using namespace emulator;

EMULATOR_EXPORT HcclResult HcclGetRootInfo(HcclRootInfo *information) {
  return resultOf(guarded("HcclGetRootInfo", [&] {
    currentDevice();
    if (!information) throw Refusal{nullOperand, "no place for the root information"};
    std::string address = devices().isDry ? "nowhere" : Links::open();
    if (address.empty()) throw Refusal{invalidParameter, "no socket for ranks to meet at"};
    std::memset(information->internal, 0, sizeof information->internal);
    std::memcpy(information->internal, address.data(), address.size());
  }));
}

EMULATOR_EXPORT HcclResult HcclCommInitRootInfo(
    uint32_t count, const HcclRootInfo *information, uint32_t rank, HcclComm *communicator) {
  return join("HcclCommInitRootInfo", count, information, rank, size_t(400) << 20, communicator);
}

EMULATOR_EXPORT HcclResult HcclCommInitRootInfoConfig(
    uint32_t count, const HcclRootInfo *information, uint32_t rank, const HcclCommConfig *config, HcclComm *communicator) {
  size_t bytes = 0;
  int status = guarded("HcclCommInitRootInfoConfig", [&] { bytes = bufferBytes(config); });
  if (status != success) return resultOf(status);
  return join("HcclCommInitRootInfoConfig", count, information, rank, bytes, communicator);
}

EMULATOR_EXPORT HcclResult HcclCreateSubCommConfig(
    HcclComm *handle, uint32_t count, uint32_t *ranks, uint64_t number, uint32_t rank, HcclCommConfig *config,
    HcclComm *result) {
  return resultOf(guarded("HcclCreateSubCommConfig", [&] {
    if (!handle || !result) throw Refusal{nullOperand, "no communicator, or no place for one"};
    auto whole = communicatorOf(*handle);
    if (whole->number != 0) throw Refusal{invalidOperand, "a communicator of a part cannot be divided"};
    if (!ranks) {
      if (number != 0xFFFFFFFF) throw Refusal{invalidOperand, "no ranks, but a number"};
      *result = nullptr;
      return;
    }
    size_t bytes = bufferBytes(config);
    std::vector<uint32_t> members(ranks, ranks + count);
    for (size_t i = 0; i < members.size(); i++)
      if (members[i] >= whole->members.size() || (i > 0 && members[i] <= members[i - 1]))
        throw Refusal{invalidOperand, "the ranks of a part are not in order, or not ranks of the whole"};
    if (rank >= count || members[rank] != whole->rank) throw Refusal{invalidOperand, "the rank's place in the part is another"};
    auto &numbers = whole->partNumbers;
    if (std::count(numbers.begin(), numbers.end(), number)) throw Refusal{invalidOperand, "a part of that number exists"};
    devices().take(whole->device, bytes);
    auto made = std::make_shared<Communicator>();
    made->links = whole->links;
    made->whole = whole;
    made->number = number + 1;
    made->members = members;
    made->rank = rank;
    made->device = whole->device;
    made->bytes = bytes;
    numbers.push_back(number);
    *result = registered(made);
  }));
}

EMULATOR_EXPORT HcclResult HcclCommDestroy(HcclComm handle) {
  bool isBusy = false;
  int status = guarded("HcclCommDestroy", [&] {
    auto communicator = communicatorOf(handle);
    isBusy = communicator->underWay > 0;
    if (isBusy) throw Refusal{invalidOperand, "operations of the communicator are on a stream"};
    if (!communicator->partNumbers.empty()) throw Refusal{invalidOperand, "parts of the communicator are alive"};
    if (auto whole = communicator->whole) std::erase(whole->partNumbers, communicator->number - 1);
    else if (communicator->links) {
      communicator->links->close();
      devices().wait(patience(), [&] { return communicator->links->isFlushed(); });
    }
    devices().used[size_t(communicator->device)] -= communicator->bytes;
    devices().objects.erase(handle);
    devices().communicators.erase(handle);
    communicator->isDestroyed = true;
    devices().changed.notify_all();
  });
  return isBusy ? HCCL_E_AGAIN : resultOf(status);
}

EMULATOR_EXPORT HcclResult HcclGetCommAsyncError(HcclComm handle, HcclResult *result) {
  return resultOf(guarded("HcclGetCommAsyncError", [&] {
    if (!result) throw Refusal{nullOperand, "no place for the error"};
    *result = communicatorOf(handle)->failure;
  }));
}

EMULATOR_EXPORT const char *HcclGetErrorString(HcclResult code) {
  switch (code) {
    case HCCL_SUCCESS: return "success";
    case HCCL_E_PARA: return "parameter error";
    case HCCL_E_PTR: return "empty pointer";
    case HCCL_E_MEMORY: return "memory error";
    case HCCL_E_TCP_CONNECT: return "tcp connect fail";
    case HCCL_E_RUNTIME: return "call runtime api fail";
    case HCCL_E_AGAIN: return "try again";
    case HCCL_E_REMOTE: return "remote error";
    default: return "unknown error";
  }
}

EMULATOR_PROTOTYPE(HcclGetRootInfo);
EMULATOR_PROTOTYPE(HcclCommInitRootInfo);
EMULATOR_PROTOTYPE(HcclCommInitRootInfoConfig);
EMULATOR_PROTOTYPE(HcclCreateSubCommConfig);
EMULATOR_PROTOTYPE(HcclCommDestroy);
EMULATOR_PROTOTYPE(HcclGetCommAsyncError);
EMULATOR_PROTOTYPE(HcclGetErrorString);
