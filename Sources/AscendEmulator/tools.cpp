// What profilers are told: ranges and marks, kept by name.
#include <algorithm>
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
};

Ranges &ranges() {
  static Ranges *const shared = new Ranges;
  return *shared;
}

}  // namespace

EMULATOR_EXPORT void mstxMarkA(const char *message, aclrtStream stream) {
  guarded("mstxMarkA", [&] {
    if (!message) throw Refusal{invalidParameter, "a mark without a name"};
    if (stream) streamOf(stream);
    ranges().names.push_back(std::string("mark ") + message);
  });
}

EMULATOR_EXPORT uint64_t mstxRangeStartA(const char *message, aclrtStream stream) {
  uint64_t id = 0;
  guarded("mstxRangeStartA", [&] {
    if (!message) throw Refusal{invalidParameter, "a range without a name"};
    if (stream) streamOf(stream);
    id = ranges().next++;
    ranges().open[id] = message;
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
