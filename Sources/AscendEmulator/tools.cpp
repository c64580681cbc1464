// What profilers are told: ranges and marks, kept by name.
#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>

#include "../CAscend/ascend_tools.h"
#include "emulator.h"
#include "include/ascend_emulator.h"

using namespace emulator;

namespace {

struct Ranges {
  std::vector<std::string> names;
  std::map<uint64_t, std::string> open;
  uint64_t next = 1;
  // Whether a profiler records: without one there are no stamps.
  bool areRecorded = true;
};

Ranges &ranges() {
  static Ranges *const shared = new Ranges;
  return *shared;
}

// A name as CANN 8.5 takes it (mstx_inject.cpp): less than 128 bytes, and nothing that a spreadsheet would take for a formula.
std::string named(const char *message) {
  if (!message || !*message) throw Refusal{invalidParameter, "no name"};
  if (std::strlen(message) >= 128) throw Refusal{invalidParameter, "a name of 128 bytes or more"};
  if (std::strchr("=+-@", *message)) throw Refusal{invalidParameter, "a name that begins as formulas do"};
  return message;
}

}  // namespace

EMULATOR_EXPORT void mstxMarkA(const char *message, aclrtStream stream) {
  guarded("mstxMarkA", [&] {
    std::string name = named(message);
    if (stream) streamOf(stream);
    ranges().names.push_back("mark " + name);
  });
}

EMULATOR_EXPORT uint64_t mstxRangeStartA(const char *message, aclrtStream stream) {
  uint64_t id = 0;
  guarded("mstxRangeStartA", [&] {
    std::string name = named(message);
    if (stream) streamOf(stream);
    id = ranges().next++;
    ranges().open[id] = name;
  });
  return id;
}

EMULATOR_EXPORT void mstxRangeEnd(uint64_t id) {
  guarded("mstxRangeEnd", [&] {
    auto found = ranges().open.find(id);
    if (found == ranges().open.end()) throw Refusal{invalidParameter, "no range under way has this number"};
    ranges().names.push_back("range " + found->second);
    ranges().open.erase(found);
  });
}

// MARK: Stamps

namespace {

// CANN has a hundred, numbered by their places (prof_stamp_pool.cpp).
struct Stamp {
  std::string name;
  bool isStarted = false;
};

std::array<Stamp, 100> &stamps() {
  static auto *const shared = new std::array<Stamp, 100>;
  return *shared;
}

constexpr const char *kind = "stamp of a profiler";

Stamp &living(void *handle) {
  auto found = devices().objects.find(handle);
  if (found == devices().objects.end() || found->second != kind) throw Refusal{invalidParameter, "not a living stamp"};
  return *static_cast<Stamp *>(handle);
}

}  // namespace

EMULATOR_EXPORT void *aclprofCreateStamp() {
  void *made = nullptr;
  guarded("aclprofCreateStamp", [&] {
    if (!ranges().areRecorded) return;
    for (auto &stamp : stamps()) {
      if (devices().objects.count(&stamp)) continue;
      stamp = Stamp{};
      devices().objects[&stamp] = kind;
      made = &stamp;
      return;
    }
    throw Refusal{invalidParameter, "more than 100 stamps"};
  });
  return made;
}

EMULATOR_EXPORT void aclprofDestroyStamp(void *stamp) {
  guarded("aclprofDestroyStamp", [&] {
    if (living(stamp).isStarted) throw Refusal{invalidParameter, "its range is under way"};
    devices().objects.erase(stamp);
  });
}

// The copy of a text leaves the last two of 128 bytes empty.
EMULATOR_EXPORT aclError aclprofSetStampTraceMessage(void *stamp, const char *message, uint32_t length) {
  return guarded("aclprofSetStampTraceMessage", [&] {
    Stamp &described = living(stamp);
    std::string name = named(message);
    if (length != name.size() || length > 126) throw Refusal{invalidParameter, "not the length of at most 126 bytes"};
    described.name = name;
  });
}

EMULATOR_EXPORT aclError aclprofRangeStart(void *stamp, uint32_t *range) {
  return guarded("aclprofRangeStart", [&] {
    Stamp &started = living(stamp);
    if (!range) throw Refusal{invalidParameter, "nowhere to put the number"};
    if (started.isStarted) throw Refusal{invalidParameter, "its range is under way"};
    if (started.name.empty()) throw Refusal{invalidParameter, "a range without a name"};
    started.isStarted = true;
    *range = uint32_t(&started - stamps().data());
  });
}

EMULATOR_EXPORT aclError aclprofRangeStop(uint32_t range) {
  return guarded("aclprofRangeStop", [&] {
    if (range >= 100 || !stamps()[range].isStarted) throw Refusal{invalidParameter, "no range under way has this number"};
    stamps()[range].isStarted = false;
    ranges().names.push_back("range " + stamps()[range].name);
  });
}

EMULATOR_EXPORT aclError aclprofMarkEx(const char *message, size_t length, aclrtStream stream) {
  int status = guarded("aclprofMarkEx", [&] {
    std::string name = named(message);
    if (length != name.size()) throw Refusal{invalidParameter, "not the length of the name"};
    streamOf(stream);
    if (ranges().areRecorded) ranges().names.push_back("mark " + name);
  });
  return status || ranges().areRecorded ? status : -1;  // PROFILING_FAILED
}

void ascend_emulator_record_ranges(int records) {
  std::lock_guard<std::recursive_mutex> held(devices().lock);
  ranges().areRecorded = records != 0;
}

long ascend_emulator_ranges(char *text, size_t capacity) {
  std::lock_guard<std::recursive_mutex> held(devices().lock);
  std::string all;
  for (auto &name : ranges().names) all += name + "\n";
  for (auto &[id, name] : ranges().open) all += "unfinished range " + name + "\n";
  if (capacity > 0) {
    size_t length = std::min(all.size(), capacity - 1);
    std::memcpy(text, all.data(), length);
    text[length] = 0;
  }
  return long(ranges().names.size() + ranges().open.size());
}

EMULATOR_PROTOTYPE(mstxMarkA);
EMULATOR_PROTOTYPE(mstxRangeStartA);
EMULATOR_PROTOTYPE(mstxRangeEnd);
EMULATOR_PROTOTYPE(aclprofCreateStamp);
EMULATOR_PROTOTYPE(aclprofDestroyStamp);
EMULATOR_PROTOTYPE(aclprofSetStampTraceMessage);
EMULATOR_PROTOTYPE(aclprofRangeStart);
EMULATOR_PROTOTYPE(aclprofRangeStop);
EMULATOR_PROTOTYPE(aclprofMarkEx);
