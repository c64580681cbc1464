// What the emulated devices consist of.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "../CAscend/ascend_hccl.h"
#include "../CAscend/ascend_operators.h"
#include "../CAscend/ascend_runtime.h"

namespace emulator {

// Status codes, by CANN's names (ACL_ERROR_…, ACLNN_ERR_…).
enum Status : int {
  success = 0,
  uninitialized = 100001,
  repeatedInitialization = 100002,
  invalidParameter = 107000,
  invalidDevice = 107001,
  noContext = 107002,
  foreignStream = 107003,
  eventNotPassed = 107006,
  wrongMemory = 107017,
  outOfMemory = 207001,
  kernelFailed = 507015,
  nullOperand = 161001,
  invalidOperand = 161002,
};

// A broken rule, thrown where it is found and caught at the edge of the call.
struct Refusal {
  int status;
  std::string text;
};

// Device memory. Addresses lie in a range that the host can neither read nor write; the bytes are elsewhere.
struct Allocation {
  size_t size;
  int device;
  std::vector<std::byte> bytes;
};

// Bytes of a block, of the device's or the host's pinned memory, that work reads or writes.
struct Access {
  uintptr_t block;
  size_t start, end;
  bool isWritten;
};

// Work that waits on a stream until somebody waits for it.
struct Task {
  std::string name;
  std::vector<Access> accesses;
  std::function<void()> body;
};

// How far each stream, by its number, is known to have come: a vector clock.
using Progress = std::map<uint64_t, uint64_t>;

struct Stream {
  int device;
  uint64_t number;
  std::deque<Task> tasks;
  uint64_t added = 0, done = 0;
  // Whether a thread is doing the first of the tasks, perhaps waiting for other devices meanwhile.
  bool isRunning = false;
  // What precedes the next task.
  Progress known;
  // The first failure since the last synchronization.
  int failure = success;
  std::string reason;
};

struct Event {
  int device;
  // Whether it notes when it is passed, and when that was; nothing until its last record is.
  bool isTimed = false;
  std::optional<std::chrono::steady_clock::time_point> passed;
  Stream *stream = nullptr;
  uint64_t position = 0, records = 0;
  // What precedes the place where it was recorded, that place included.
  Progress known;
};

// An access of work that is on a stream.
struct PastAccess {
  Access access;
  uint64_t stream, position;
  std::string name;
};

struct Communicator;

struct Devices {
  std::recursive_mutex lock;
  // Signalled when work has been done and when a message of another device has come.
  std::condition_variable_any changed;
  bool isInitialized = false;
  int count = 2;
  size_t capacity = size_t(8) << 30;
  std::vector<size_t> used = std::vector<size_t>(2);
  std::map<int, int> references;
  // By address.
  std::map<uintptr_t, Allocation> memory;
  std::map<uintptr_t, std::vector<std::byte>> pinned;
  std::set<Stream *> streams;
  std::set<Event *> events;
  // What the host has waited for: it precedes all that is put on streams from then on.
  Progress waitedFor;
  // By block, what may still be under way.
  std::map<uintptr_t, std::vector<PastAccess>> accesses;
  // Descriptors and prepared operators that are alive, by what they are.
  std::map<const void *, std::string> objects;
  // By handle.
  std::map<const void *, std::shared_ptr<Communicator>> communicators;
  std::map<std::string, long> runs;
  std::vector<std::string> violations;
  uintptr_t nextAddress = 0, lastAddress = 0;
  uint64_t nextStream = 1, bytesSent = 0;
  long allocationsUntilFailure = 0, pinnedUntilFailure = 0, kernelsUntilFailure = 0, collectivesUntilFailure = 0;
  // Whether collective operations that have begun wait before they send anything.
  bool holdsCollectives = false;
  // Whether memory has no contents and nothing runs; the accounts of what would have, and the most memory used, by device.
  bool isDry = false;
  std::map<std::tuple<std::string, double, size_t, size_t, size_t>, long> accounts;
  std::vector<size_t> peak = std::vector<size_t>(2);

  // The allocation that holds an address, or null.
  std::pair<const uintptr_t, Allocation> *find(const void *address);
  // The bytes of `size` at a device address. Refuses addresses of the host, of freed memory and across a block's end.
  std::byte *bytes(const void *address, size_t size, const std::string &what);
  bool isPinned(const void *address, size_t size) const;
  // Bytes at an address of either memory as an access.
  Access access(const void *address, size_t size, bool isWritten) const;
  // Puts work on a stream, unless other streams' work on the same bytes is neither before nor after it.
  void add(Stream &stream, Task task);
  // Runs the tasks of a stream up to a position, or waits for the thread that does.
  void run(Stream &stream, uint64_t position);
  // Books memory of a device, or refuses where there is not as much or this is the allocation that was to fail.
  void take(int device, size_t size);
  // Gives up the lock until a condition holds. Returns false where the time is over before.
  bool wait(std::chrono::steady_clock::time_point end, const std::function<bool()> &holds);
};

// Those of the calling thread where it has its own, else those of the process.
Devices &devices();
// Gives the calling thread devices of its own, or, given null, takes them away again. Returns those it had.
Devices *exchangeThreadDevices(Devices *own);

// Joins what is known of streams.
void join(Progress &progress, const Progress &other);
// Where a set of variables asks for it, appends broken rules and what is alive to a file.
void reportAtExit();

// The device of the calling thread; refuses threads without one.
int currentDevice();
// The stream behind a handle, on the calling thread's device.
Stream &streamOf(aclrtStream handle);
// Runs a call under the lock; a refusal becomes its status and a violation.
int guarded(const char *function, const std::function<void()> &body);
// Keeps the text for aclGetRecentErrMsg and the list of violations.
void recordViolation(const std::string &text);
void setMessage(const std::string &text);

}  // namespace emulator

#define EMULATOR_EXPORT extern "C" __attribute__((visibility("default")))
// Every exported function has the type that the program will call it by.
#define EMULATOR_PROTOTYPE(name) static_assert(std::is_same_v<decltype(&name), name##Function>, #name)
