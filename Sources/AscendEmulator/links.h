// How emulated devices of several processes, or of several threads of one, reach each other: a socket between every two ranks,
// over which go parcels, each for one operation of one communicator.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "emulator.h"

namespace emulator {

// What an operation is: the same on all ranks that take part, or they do not fit together.
struct Signature {
  uint32_t kind;
  uint32_t type;
  uint64_t count;
  uint32_t root;
  uint32_t reduction;
  bool operator==(const Signature &) const = default;
};

// What precedes the bytes of a parcel on a socket.
struct ParcelHeader {
  // Which communicator, and which ranks are in it.
  uint64_t communicator, members;
  // Collective operations before this one; point-to-point operations are in between.
  uint64_t sequence;
  Signature signature;
  uint64_t byteCount;
};

// An inquiry of ranks that wait: who began it and in which of its waits (root and count of the signature), over how many ranks it has
// come (reduction), and how many parcels of the communicator the sender has got from the receiver (sequence).
constexpr uint32_t inquiry = 1002;

struct Parcel {
  ParcelHeader header;
  std::vector<std::byte> bytes;
};

// One rank's connections to the others. Everything but `join` is called with the devices' lock held.
class Links : public std::enable_shared_from_this<Links> {
 public:
  // Begins to wait for ranks at a new address.
  static std::string open();
  // Meets the ranks at an address. Blocks, without the lock, until all are there.
  static std::shared_ptr<Links> join(
      const std::string &address, uint32_t size, uint32_t rank, int device, std::string &reason);

  const uint32_t rank, size;
  // Parcels that have come and are not used yet, in order, by sender.
  std::vector<std::deque<Parcel>> arrived;
  // Why no more parcels come from a rank; empty while they do.
  std::vector<std::string> ended;
  // How many parcels of operations have come from each rank and been sent to it, by communicator.
  std::vector<std::map<uint64_t, uint64_t>> arrivals, departures;

  std::string name() const { return "rank " + std::to_string(rank); }
  void send(uint32_t to, Parcel parcel);
  // Whether everything has left: what a rank sent arrives even where its process ends then.
  bool isFlushed() const;
  // Tells all others that their operations with this rank cannot succeed, and why.
  void fail(const std::string &reason);
  // Says goodbye and ends the connections when everything is sent.
  void close();
  // Ends the connections as a lost device does.
  void vanish();

  Links(uint32_t rank, uint32_t size);
  ~Links();

 private:
  struct Outbox {
    int socket = -1;
    std::deque<Parcel> parcels;
    // Nothing is added any more; the first parcel is being written; nobody reads what is written.
    bool isClosed = false, isWriting = false, isBroken = false;
  };

  std::vector<Outbox> outboxes;
  std::condition_variable_any posted;

  void start();
  void read(uint32_t from, int socket);
  void write(uint32_t to, int socket);
};

// Answers an inquiry that has come from a rank. In hccl.cpp, since it is about communicators.
void answer(Links &links, uint32_t from, const Parcel &inquiry);

// How long devices wait for each other.
std::chrono::steady_clock::time_point patience();

}  // namespace emulator
