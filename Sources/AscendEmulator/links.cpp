// Sockets between ranks.
#include "links.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <random>

namespace emulator {

using Clock = std::chrono::steady_clock;

// Kinds of parcels that are not operations.
constexpr uint32_t goodbye = 1000, failure = 1001;

Clock::time_point patience() {
  const char *text = std::getenv("HYVIDEO_ASCEND_EMULATOR_SECONDS");
  return Clock::now() + std::chrono::seconds(text && *text ? std::atol(text) : 120);
}

// MARK: Bytes over sockets

// A name that no file stands for and that goes with its last socket.
static socklen_t describe(const std::string &name, sockaddr_un &address) {
  std::memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data(), std::min(name.size(), sizeof address.sun_path - 1));
  return socklen_t(offsetof(sockaddr_un, sun_path) + 1 + name.size());
}

static std::string listenAnywhere(int &socket) {
  static std::atomic<int> number{0};
  std::string name = "hyvideo-ascend-" + std::to_string(getpid()) + "-" + std::to_string(number++) + "-" +
                     std::to_string(std::random_device{}());
  socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address;
  socklen_t length = describe(name, address);
  if (socket < 0 || bind(socket, reinterpret_cast<sockaddr *>(&address), length) != 0 || listen(socket, 128) != 0) {
    if (socket >= 0) ::close(socket);
    socket = -1;
  }
  return name;
}

static int connectTo(const std::string &name) {
  int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address;
  socklen_t length = describe(name, address);
  if (socket >= 0 && connect(socket, reinterpret_cast<sockaddr *>(&address), length) == 0) return socket;
  if (socket >= 0) ::close(socket);
  return -1;
}

static bool awaitInput(int socket, Clock::time_point end) {
  pollfd waiting{socket, POLLIN, 0};
  auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
  return poll(&waiting, 1, int(std::max<long>(left, 0))) > 0;
}

static int acceptFrom(int socket, Clock::time_point end) {
  return awaitInput(socket, end) ? accept4(socket, nullptr, nullptr, SOCK_CLOEXEC) : -1;
}

static bool readAll(int socket, void *target, size_t count) {
  auto *bytes = static_cast<char *>(target);
  while (count > 0) {
    ssize_t got = recv(socket, bytes, count, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    bytes += got;
    count -= size_t(got);
  }
  return true;
}

static bool writeAll(int socket, const void *source, size_t count) {
  auto *bytes = static_cast<const char *>(source);
  while (count > 0) {
    ssize_t put = send(socket, bytes, count, MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return false;
    bytes += put;
    count -= size_t(put);
  }
  return true;
}

// MARK: Meeting

namespace {

constexpr size_t nameSize = 100;

// What a rank says where ranks meet, and to the ranks before it.
struct Greeting {
  uint32_t size, rank;
  int32_t device;
  char name[nameSize];
};

// What it is told: whether they have met, and where the others are or what went wrong.
struct Answer {
  uint32_t isRefusal, byteCount;
};

}  // namespace

static std::string refusal(const std::vector<Greeting> &there, const Greeting &greeting) {
  if (greeting.size != there.front().size)
    return "rank " + std::to_string(greeting.rank) + " counts " + std::to_string(greeting.size) + " ranks, rank " +
           std::to_string(there.front().rank) + " " + std::to_string(there.front().size);
  if (greeting.rank >= greeting.size) return "rank " + std::to_string(greeting.rank) + " of " + std::to_string(greeting.size);
  for (auto &other : there) {
    if (&other == &greeting) continue;
    if (other.rank == greeting.rank) return "two ranks are number " + std::to_string(greeting.rank);
    if (other.device == greeting.device)
      return "ranks " + std::to_string(other.rank) + " and " + std::to_string(greeting.rank) + " are both on device " +
             std::to_string(greeting.device);
  }
  return "";
}

// Lets ranks meet at a socket, until all are there, one does not fit or the time is over.
static void host(int listening) {
  auto end = patience();
  std::vector<Greeting> there;
  std::vector<int> sockets;
  std::string reason;
  while (reason.empty() && (there.empty() || there.size() < there.front().size)) {
    int socket = acceptFrom(listening, end);
    Greeting greeting{};
    if (socket < 0) {
      reason = "only " + std::to_string(there.size()) + " ranks have come";
    } else {
      sockets.push_back(socket);
      if (!readAll(socket, &greeting, sizeof greeting)) {
        reason = "a rank went away while others were waited for";
      } else {
        there.push_back(greeting);
        reason = refusal(there, there.back());
      }
    }
    for (size_t i = 0; reason.empty() && i < sockets.size(); i++) {
      char byte;
      if (recv(sockets[i], &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
        reason = "rank " + std::to_string(there[i].rank) + " went away while others were waited for";
    }
  }
  ::close(listening);
  std::string text = reason;
  if (reason.empty()) {
    text.assign(nameSize * there.size(), 0);
    for (auto &greeting : there) text.replace(greeting.rank * nameSize, nameSize, greeting.name, nameSize);
  }
  Answer answer{!reason.empty(), uint32_t(text.size())};
  for (int socket : sockets) {
    if (writeAll(socket, &answer, sizeof answer)) writeAll(socket, text.data(), text.size());
    ::close(socket);
  }
}

std::string Links::open() {
  int listening;
  std::string name = listenAnywhere(listening);
  if (listening < 0) return "";
  std::thread(host, listening).detach();
  return name;
}

std::shared_ptr<Links> Links::join(
    const std::string &address, uint32_t size, uint32_t rank, int device, std::string &reason) {
  auto end = patience();
  int listening;
  std::string name = listenAnywhere(listening);
  int meeting = listening < 0 ? -1 : connectTo(address);
  if (meeting < 0) {
    reason = "nobody is waiting for ranks at the root information's address";
    if (listening >= 0) ::close(listening);
    return nullptr;
  }
  Greeting greeting{size, rank, device, {}};
  std::memcpy(greeting.name, name.data(), std::min(name.size(), nameSize - 1));
  Answer answer{};
  std::string text;
  bool isAnswered = writeAll(meeting, &greeting, sizeof greeting) && awaitInput(meeting, end) &&
                    readAll(meeting, &answer, sizeof answer);
  if (isAnswered) {
    text.assign(answer.byteCount, 0);
    isAnswered = readAll(meeting, text.data(), text.size());
  }
  ::close(meeting);
  auto links = std::make_shared<Links>(rank, size);
  if (!isAnswered) {
    reason = "the other ranks have not come";
  } else if (answer.isRefusal) {
    reason = text;
  } else {
    // Each rank calls those before it and is called by those behind it.
    for (uint32_t other = 0; other < rank; other++) {
      int socket = connectTo(text.substr(other * nameSize, nameSize).c_str());
      if (socket < 0 || !writeAll(socket, &greeting, sizeof greeting)) reason = "rank " + std::to_string(other) + " went away";
      links->outboxes[other].socket = socket;
    }
    for (uint32_t count = rank + 1; reason.empty() && count < size; count++) {
      Greeting other{};
      int socket = acceptFrom(listening, end);
      if (socket < 0 || !readAll(socket, &other, sizeof other) || other.rank >= size)
        reason = "a rank went away";
      else
        links->outboxes[other.rank].socket = socket;
    }
  }
  ::close(listening);
  if (!reason.empty()) return nullptr;
  links->start();
  return links;
}

// MARK: Parcels

Links::Links(uint32_t rank, uint32_t size)
    : rank(rank), size(size), arrived(size), ended(size), arrivals(size), departures(size), outboxes(size) {}

// Threads keep the object alive until their sockets have ended.
Links::~Links() {
  for (auto &outbox : outboxes)
    if (outbox.socket >= 0) ::close(outbox.socket);
}

void Links::start() {
  for (uint32_t other = 0; other < size; other++) {
    if (other == rank) continue;
    int socket = outboxes[other].socket;
    std::thread([self = shared_from_this(), other, socket] { self->read(other, socket); }).detach();
    std::thread([self = shared_from_this(), other, socket] { self->write(other, socket); }).detach();
  }
}

void Links::read(uint32_t from, int socket) {
  std::string reason = "rank " + std::to_string(from) + " is lost";
  bool isEnd = false;
  while (!isEnd) {
    Parcel parcel{};
    if (!readAll(socket, &parcel.header, sizeof parcel.header)) break;
    parcel.bytes.resize(parcel.header.byteCount);
    if (!readAll(socket, parcel.bytes.data(), parcel.bytes.size())) break;
    isEnd = parcel.header.signature.kind == goodbye || parcel.header.signature.kind == failure;
    if (parcel.header.signature.kind == goodbye) reason = "rank " + std::to_string(from) + " has destroyed its communicator";
    if (parcel.header.signature.kind == failure)
      reason = "rank " + std::to_string(from) + " failed: " +
               std::string(reinterpret_cast<const char *>(parcel.bytes.data()), parcel.bytes.size());
    if (isEnd) break;
    std::lock_guard<std::recursive_mutex> held(devices().lock);
    if (parcel.header.signature.kind == inquiry) {
      answer(*this, from, parcel);
      continue;
    }
    arrivals[from][parcel.header.communicator]++;
    arrived[from].push_back(std::move(parcel));
    devices().changed.notify_all();
  }
  std::lock_guard<std::recursive_mutex> held(devices().lock);
  ended[from] = reason;
  devices().changed.notify_all();
}

void Links::write(uint32_t to, int socket) {
  while (true) {
    Parcel parcel;
    {
      std::unique_lock<std::recursive_mutex> held(devices().lock);
      auto &outbox = outboxes[to];
      outbox.isWriting = false;
      if (outbox.isBroken) outbox.parcels.clear();
      devices().changed.notify_all();
      while (outbox.parcels.empty() && !outbox.isClosed) posted.wait(held);
      if (outbox.parcels.empty()) break;
      parcel = std::move(outbox.parcels.front());
      outbox.parcels.pop_front();
      outbox.isWriting = true;
    }
    bool isWritten = writeAll(socket, &parcel.header, sizeof parcel.header) &&
                     writeAll(socket, parcel.bytes.data(), parcel.bytes.size());
    if (isWritten) continue;
    std::lock_guard<std::recursive_mutex> held(devices().lock);
    outboxes[to].isBroken = true;
  }
  shutdown(socket, SHUT_WR);
}

bool Links::isFlushed() const {
  for (auto &outbox : outboxes)
    if (outbox.isWriting || !outbox.parcels.empty()) return false;
  return true;
}

void Links::send(uint32_t to, Parcel parcel) {
  parcel.header.byteCount = parcel.bytes.size();
  if (parcel.header.signature.kind != inquiry) {
    devices().bytesSent += parcel.bytes.size();
    departures[to][parcel.header.communicator]++;
  }
  outboxes[to].parcels.push_back(std::move(parcel));
  posted.notify_all();
}

void Links::fail(const std::string &reason) {
  for (uint32_t other = 0; other < size; other++) {
    if (other == rank || outboxes[other].isClosed) continue;
    auto *bytes = reinterpret_cast<const std::byte *>(reason.data());
    Parcel parcel{{0, 0, 0, Signature{failure, 0, 0, 0, 0}, reason.size()}, std::vector<std::byte>(bytes, bytes + reason.size())};
    outboxes[other].parcels.push_back(std::move(parcel));
  }
  posted.notify_all();
}

void Links::close() {
  for (uint32_t other = 0; other < size; other++) {
    if (other == rank || outboxes[other].isClosed) continue;
    outboxes[other].parcels.push_back(Parcel{{0, 0, 0, Signature{goodbye, 0, 0, 0, 0}, 0}, {}});
    outboxes[other].isClosed = true;
  }
  posted.notify_all();
}

void Links::vanish() {
  for (uint32_t other = 0; other < size; other++) {
    if (other == rank) continue;
    outboxes[other].parcels.clear();
    outboxes[other].isClosed = true;
    shutdown(outboxes[other].socket, SHUT_RDWR);
  }
  posted.notify_all();
}

}  // namespace emulator
