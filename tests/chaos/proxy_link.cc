#include "tests/chaos/proxy_link.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/transport/address.h"

namespace paramo::chaos {
namespace {

// What is on the way in one direction; beyond it the source is not read, as
// with a full socket buffer.
constexpr size_t kQueuedBytesMax = 1 << 20;
constexpr size_t kPieceBytes = 16 << 10;
// Delays of one piece: up to twice the round trip of a far data centre.
constexpr int64_t kDelayMinMs = 20;
constexpr uint64_t kDelayRangeMs = 130;
// One piece in so many gets a flipped bit.
constexpr uint64_t kCorruptOneIn = 8;

bool WouldBlock() {
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ||
         errno == ENOTCONN || errno == EINPROGRESS;
}

sockaddr_in ToSocketAddress(const std::string& ip, int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  ::inet_pton(AF_INET, ip.c_str(), &address.sin_addr);
  return address;
}

}  // namespace

int StartConnecting(const std::string& target, const std::string& source_ip) {
  auto parsed = ParseAddress(target);
  if (!parsed.ok()) return -1;
  const int fd =
      ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int one = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  const sockaddr_in source = ToSocketAddress(source_ip, 0);
  const sockaddr_in to = ToSocketAddress(parsed->host, parsed->port);
  ::bind(fd, reinterpret_cast<const sockaddr*>(&source), sizeof source);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0 ||
      errno == EINPROGRESS) {
    return fd;
  }
  ::close(fd);
  return -1;
}

ProxyLink::ProxyLink(int client, const std::string& target,
                     std::string source_ip, bool copied)
    : source_(std::move(source_ip)),
      fds_{client, StartConnecting(target, source_)} {
  const int one = 1;
  ::setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (copied) copy_ = StartConnecting(target, source_);
  if (fds_[1] < 0) Reset();
}

ProxyLink::~ProxyLink() {
  for (int fd : {fds_[0], fds_[1], copy_}) {
    if (fd >= 0) ::close(fd);
  }
}

void ProxyLink::Reset() {
  const linger at_once = {1, 0};
  for (int fd : fds_) {
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }
  broken_ = true;
}

void ProxyLink::AddPollFds(absl::Time now, std::vector<pollfd>& fds) const {
  for (int side = 0; side < 2; ++side) {
    const Way& in = ways[side];
    const Way& out = ways[1 - side];
    pollfd entry = {fds_[side], 0, 0};
    if (!in.held && !in.ended && in.queued_bytes < kQueuedBytesMax) {
      entry.events |= POLLIN;
    }
    if (!out.held && !out.pieces.empty() && out.pieces.front().due <= now) {
      entry.events |= POLLOUT;
    }
    if (entry.events == 0) entry.fd = -1;
    fds.push_back(entry);
  }
  const short writes = copy_pending_.empty() ? 0 : POLLOUT;
  fds.push_back({copy_, static_cast<short>(POLLIN | writes), 0});
}

absl::Time ProxyLink::NextDue() const {
  absl::Time due = absl::InfiniteFuture();
  for (const Way& way : ways) {
    if (way.held || way.pieces.empty()) continue;
    due = std::min(due, way.pieces.front().due);
  }
  return due;
}

void ProxyLink::Pump(const pollfd* fds, ProxyFault fault, absl::Time now,
                     BitGen& random, ProxyCounters& counters) {
  constexpr short kReadable = POLLIN | POLLHUP | POLLERR;
  for (int side = 0; side < 2 && !broken_; ++side) {
    const bool wanted = fds[side].fd >= 0;
    if (wanted && (fds[side].revents & kReadable) != 0 &&
        (fds[side].events & POLLIN) != 0) {
      Read(side, fault, now, random, counters);
    }
  }
  for (int direction = 0; direction < 2 && !broken_; ++direction) {
    Write(direction, now, counters);
  }
  if (copy_ >= 0) ServeCopy(fds[2].revents);
  if (!broken_) ForwardEnds();
}

void ProxyLink::Read(int direction, ProxyFault fault, absl::Time now,
                     BitGen& random, ProxyCounters& counters) {
  Way& way = ways[direction];
  std::string bytes(kPieceBytes, '\0');
  const ssize_t count =
      ::recv(fds_[direction], bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (count < 0 && WouldBlock()) return;
  if (count < 0) return Reset();
  if (count == 0) {
    way.ended = true;
    return;
  }
  bytes.resize(static_cast<size_t>(count));
  if (way.dead) {
    counters.vanished_bytes += bytes.size();
    return;
  }
  absl::Time due = now;
  if (fault == ProxyFault::kDelay) {
    due += absl::Milliseconds(
        kDelayMinMs + static_cast<int64_t>(random.Below(kDelayRangeMs)));
    if (!way.pieces.empty()) due = std::max(due, way.pieces.back().due);
    ++counters.delayed_pieces;
  }
  if (fault == ProxyFault::kCorrupt && random.Below(kCorruptOneIn) == 0) {
    bytes[random.Below(bytes.size())] ^=
        static_cast<char>(1 << random.Below(8));
    ++counters.flipped_bits;
  }
  if (direction == kToServer && copy_ >= 0) {
    copy_pending_ += bytes;
    counters.copied_bytes += bytes.size();
  }
  way.queued_bytes += bytes.size();
  way.pieces.push_back({std::move(bytes), due});
}

void ProxyLink::Write(int direction, absl::Time now, ProxyCounters& counters) {
  Way& way = ways[direction];
  while (!way.held && !way.pieces.empty() && way.pieces.front().due <= now) {
    std::string& bytes = way.pieces.front().bytes;
    const ssize_t count = ::send(fds_[1 - direction], bytes.data(),
                                 bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0 && WouldBlock()) return;
    if (count < 0) return Reset();
    way.queued_bytes -= static_cast<size_t>(count);
    counters.bytes += static_cast<size_t>(count);
    if (static_cast<size_t>(count) < bytes.size()) {
      bytes.erase(0, static_cast<size_t>(count));
      return;
    }
    way.pieces.pop_front();
  }
}

// The second connection gets the same bytes; what it is answered is dropped,
// and so is the connection when anything about it fails.
void ProxyLink::ServeCopy(short events) {
  bool gone = (events & (POLLERR | POLLHUP)) != 0;
  if ((events & POLLIN) != 0) {
    std::string dropped(kPieceBytes, '\0');
    const ssize_t count =
        ::recv(copy_, dropped.data(), dropped.size(), MSG_DONTWAIT);
    gone |= count == 0 || (count < 0 && !WouldBlock());
  }
  if (!copy_pending_.empty()) {
    const ssize_t count =
        ::send(copy_, copy_pending_.data(), copy_pending_.size(),
               MSG_DONTWAIT | MSG_NOSIGNAL);
    gone |= count < 0 && !WouldBlock();
    if (count > 0) copy_pending_.erase(0, static_cast<size_t>(count));
  }
  if (!gone) return;
  ::close(copy_);
  copy_ = -1;
}

void ProxyLink::ForwardEnds() {
  for (int direction = 0; direction < 2; ++direction) {
    const Way& way = ways[direction];
    if (!way.ended || way.held || !way.pieces.empty() || shut_[direction]) {
      continue;
    }
    ::shutdown(fds_[1 - direction], SHUT_WR);
    shut_[direction] = true;
  }
  broken_ = shut_[0] && shut_[1];
}

}  // namespace paramo::chaos
