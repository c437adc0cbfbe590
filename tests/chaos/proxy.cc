#include "tests/chaos/proxy.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "tests/chaos/proxy_link.h"

namespace paramo::chaos {
namespace {

// How often reorder chooses anew who waits: a few round trips under load.
constexpr absl::Duration kStirEvery = absl::Milliseconds(25);
constexpr int kBacklog = 128;
constexpr int kPollMsMax = 1000;
constexpr size_t kFdsPerLink = 3;

// A listening socket on a free port, and its address.
absl::StatusOr<std::pair<int, std::string>> Listen(const std::string& ip) {
  const int fd =
      ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  if (::inet_pton(AF_INET, ip.c_str(), &address.sin_addr) != 1) {
    ::close(fd);
    return absl::InvalidArgumentError(absl::StrCat("no IPv4 address: ", ip));
  }
  socklen_t size = sizeof address;
  sockaddr* generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(fd, generic, size) != 0 || ::listen(fd, kBacklog) != 0 ||
      ::getsockname(fd, generic, &size) != 0) {
    const int error = errno;
    ::close(fd);
    return ErrnoStatus(error, absl::StrCat("cannot listen on ", ip));
  }
  return std::pair(fd, absl::StrCat(ip, ":", ntohs(address.sin_port)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Proxy>> Proxy::Start(ProxyOptions options) {
  PARAMO_ASSIGN_OR_RETURN(auto listening, Listen(options.listen_ip));
  const int wake = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return std::unique_ptr<Proxy>(new Proxy(std::move(options), listening.first,
                                          wake, std::move(listening.second)));
}

Proxy::Proxy(ProxyOptions options, int listener, int wake, std::string address)
    : options_(std::move(options)),
      listener_(listener),
      wake_(wake),
      address_(std::move(address)),
      random_(options_.seed) {
  thread_ = std::thread([this] { Run(); });
}

Proxy::~Proxy() {
  {
    MutexLock lock(mu_);
    orders_.stop = true;
  }
  Wake();
  thread_.join();
  ::close(listener_);
  ::close(wake_);
}

void Proxy::Wake() {
  const uint64_t one = 1;
  [[maybe_unused]] ssize_t written = ::write(wake_, &one, sizeof one);
}

void Proxy::SetTarget(const std::string& address) {
  {
    MutexLock lock(mu_);
    orders_.target = address;
  }
  Wake();
}

void Proxy::Inject(ProxyFault fault) {
  {
    MutexLock lock(mu_);
    orders_.fault = fault;
  }
  Wake();
}

void Proxy::HoldSource(const std::string& source_ip) {
  {
    MutexLock lock(mu_);
    orders_.held_source = source_ip;
  }
  Wake();
}

void Proxy::Break() {
  {
    MutexLock lock(mu_);
    ++orders_.breaks;
  }
  Wake();
}

ProxyCounters Proxy::counters() {
  MutexLock lock(mu_);
  return counters_;
}

void Proxy::Run() {
  while (TakeOrders()) {
    Poll();
    links_.remove_if([](const auto& link) { return link->broken(); });
  }
  links_.clear();
}

bool Proxy::TakeOrders() {
  Orders orders;
  {
    MutexLock lock(mu_);
    orders = orders_;
  }
  const ProxyFault before = std::exchange(now_.fault, orders.fault);
  const std::string held = std::exchange(now_.held_source, orders.held_source);
  now_.target = orders.target;
  if (before != now_.fault) OnFault(before);
  if (before != now_.fault || held != now_.held_source) SetHolds();
  if (now_.breaks != orders.breaks) {
    now_.breaks = orders.breaks;
    for (auto& link : links_) link->Reset();
    links_.clear();
  }
  return !orders.stop;
}

// Brings connections into the state that the new fault begins with.
void Proxy::OnFault(ProxyFault before) {
  if (before == ProxyFault::kHalfOpen || now_.fault == ProxyFault::kDuplicate) {
    for (auto& link : links_) link->Reset();
    links_.clear();
  }
  next_stir_ = now_.fault == ProxyFault::kReorder ? absl::InfinitePast()
                                                  : absl::InfiniteFuture();
  dead_direction_ = static_cast<int>(random_.Below(2));
  for (auto& link : links_) {
    for (int direction = 0; direction < 2; ++direction) {
      link->ways[direction].dead =
          now_.fault == ProxyFault::kHalfOpen && direction == dead_direction_;
    }
  }
}

void Proxy::SetHolds() {
  for (auto& link : links_) {
    const bool held =
        now_.fault == ProxyFault::kHold || link->source() == now_.held_source;
    for (ProxyLink::Way& way : link->ways) way.held = held;
  }
}

void Proxy::StirHolds(absl::Time now) {
  if (now < next_stir_) return;
  next_stir_ = now + kStirEvery;
  for (auto& link : links_) {
    for (ProxyLink::Way& way : link->ways) way.held = random_.Below(2) == 0;
  }
}

void Proxy::Poll() {
  absl::Time now = absl::Now();
  StirHolds(now);
  absl::Time due = next_stir_;
  std::vector<pollfd> fds = {{wake_, POLLIN, 0}, {listener_, POLLIN, 0}};
  // New connections wait in the backlog while everything is held.
  if (now_.fault == ProxyFault::kHold) fds[1].fd = -1;
  for (const auto& link : links_) {
    link->AddPollFds(now, fds);
    if (link->NextDue() > now) due = std::min(due, link->NextDue());
  }
  const int64_t wait_ms = absl::ToInt64Milliseconds(
      std::min(due - now, absl::Milliseconds(kPollMsMax)));
  ::poll(fds.data(), fds.size(),
         static_cast<int>(std::max<int64_t>(wait_ms + 1, 1)));
  now = absl::Now();
  uint64_t drained;
  while (::read(wake_, &drained, sizeof drained) > 0) {
  }
  ProxyCounters done;
  const pollfd* of_link = fds.data() + 2;
  for (auto& link : links_) {
    link->Pump(of_link, now_.fault, now, random_, done);
    of_link += kFdsPerLink;
  }
  if ((fds[1].revents & POLLIN) != 0) {
    TakeOrders();  // all that were given before the connection came
    Accept();
  }
  MutexLock lock(mu_);
  counters_.bytes += done.bytes;
  counters_.flipped_bits += done.flipped_bits;
  counters_.copied_bytes += done.copied_bytes;
  counters_.vanished_bytes += done.vanished_bytes;
  counters_.delayed_pieces += done.delayed_pieces;
}

std::string Proxy::SourceOf(int client) const {
  if (!options_.source_of) return options_.source_ip;
  sockaddr_in from = {};
  sockaddr_in to = {};
  socklen_t size = sizeof from;
  ::getpeername(client, reinterpret_cast<sockaddr*>(&from), &size);
  size = sizeof to;
  ::getsockname(client, reinterpret_cast<sockaddr*>(&to), &size);
  const std::string source =
      options_.source_of(ntohs(from.sin_port), ntohs(to.sin_port));
  return source.empty() ? options_.source_ip : source;
}

void Proxy::Accept() {
  const int client =
      ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (client < 0) return;
  auto link = std::make_unique<ProxyLink>(client, now_.target, SourceOf(client),
                                          now_.fault == ProxyFault::kDuplicate);
  if (now_.fault == ProxyFault::kHalfOpen) {
    link->ways[dead_direction_].dead = true;
  }
  links_.push_back(std::move(link));
  SetHolds();
  MutexLock lock(mu_);
  ++counters_.connections;
}

}  // namespace paramo::chaos
