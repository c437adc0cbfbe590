#include "common/transport/acceptor.h"

#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/log.h"

namespace paramo {
namespace {

// Connections taken from one socket before the others get their turn.
constexpr int kBatch = 64;

// How late closed connections leave the count when nobody is refused.
constexpr absl::Duration kIdleSweepPeriod = absl::Seconds(1);

// While no descriptor is free the socket stays readable, and asking again at
// once would spin.
constexpr absl::Duration kBackOff = absl::Milliseconds(100);

// Between two log lines about refusals: a peer can cause as many as it likes.
constexpr absl::Duration kComplaintPeriod = absl::Seconds(10);

constexpr char kRefusedName[] = "paramo_connections_refused_total";
constexpr char kRefusedHelp[] = "Connections closed at once, by reason.";

bool IsShortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS ||
         error == ENOMEM;
}

std::string Text(const sockaddr_storage& address) {
  char host[NI_MAXHOST] = "?";
  getnameinfo(reinterpret_cast<const sockaddr*>(&address), sizeof address, host,
              sizeof host, nullptr, 0, NI_NUMERICHOST);
  return host;
}

}  // namespace

Acceptor::Acceptor(std::vector<Listening> listening, Connections::Limits limits,
                   MetricsRegistry& metrics)
    : connections_(limits),
      open_(metrics.AddGauge("paramo_connections",
                             "Connections open when last looked at.")),
      accepted_(metrics.AddCounter("paramo_connections_accepted_total",
                                   "Connections accepted.")),
      peer_full_(metrics.AddCounter(kRefusedName, kRefusedHelp,
                                    {{"reason", "peer_limit"}})),
      full_(metrics.AddCounter(kRefusedName, kRefusedHelp,
                               {{"reason", "total_limit"}})),
      failures_(metrics.AddCounter(
          "paramo_accept_failures_total",
          "Times that a connection had to wait for a free descriptor.")) {
  for (Listening& one : listening)
    for (Descriptor& socket : one.sockets)
      sockets_.push_back(std::move(socket));
}

absl::Status Acceptor::Start(HandOver hand_over) {
  stop_ = Descriptor(eventfd(0, EFD_CLOEXEC));
  if (!stop_.valid())
    return absl::UnavailableError(
        absl::StrCat("cannot accept connections: ", std::strerror(errno)));
  hand_over_ = std::move(hand_over);
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

void Acceptor::Stop() {
  if (thread_.joinable()) {
    eventfd_write(stop_.get(), 1);
    thread_.join();
  }
  sockets_.clear();
  open_.Set(0);
}

void Acceptor::Run() {
  pthread_setname_np(pthread_self(), "accept");
  std::vector<pollfd> ready = {{stop_.get(), POLLIN, 0}};
  for (const Descriptor& socket : sockets_)
    ready.push_back({socket.get(), POLLIN, 0});
  bool backing_off = false;
  for (;;) {
    const absl::Duration wait = backing_off ? kBackOff : kIdleSweepPeriod;
    const bool idle = !backing_off && connections_.total() == 0;
    // The stop event comes first; backing off is waiting for it alone.
    poll(ready.data(), backing_off ? 1 : ready.size(),
         idle ? -1 : static_cast<int>(absl::ToInt64Milliseconds(wait)));
    if (ready[0].revents != 0) return;
    connections_.Sweep(absl::Now(), kIdleSweepPeriod);
    backing_off = false;
    for (const Descriptor& socket : sockets_)
      if (!AcceptSome(socket.get())) backing_off = true;
    open_.Set(static_cast<int64_t>(connections_.total()));
  }
}

bool Acceptor::AcceptSome(int listener) {
  for (int i = 0; i < kBatch; ++i) {
    sockaddr_storage from = {};
    socklen_t bytes = sizeof from;
    Descriptor fd(accept4(listener, reinterpret_cast<sockaddr*>(&from), &bytes,
                          SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd.valid()) {
      Admit(listener, std::move(fd), from);
    } else if (IsShortage(errno)) {
      failures_.Add();
      return false;
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return true;  // the backlog is empty, or a peer's network failed
    }
  }
  return true;
}

void Acceptor::Admit(int listener, Descriptor fd,
                     const sockaddr_storage& from) {
  const Connections::Verdict verdict =
      connections_.Add(PeerOf(from), ConnectionOf(fd.get()), absl::Now());
  if (verdict != Connections::Verdict::kAdmitted) return Refuse(verdict, from);
  accepted_.Add();
  hand_over_(listener, fd.Release());
}

// The descriptor closes with its owner, on the way back from here.
void Acceptor::Refuse(Connections::Verdict why, const sockaddr_storage& from) {
  const bool peer_full = why == Connections::Verdict::kPeerFull;
  (peer_full ? peer_full_ : full_).Add();
  const absl::Time now = absl::Now();
  if (now - last_complaint_ < kComplaintPeriod) return;
  last_complaint_ = now;
  LogWarning("refused a connection of %s: %s", Text(from),
             peer_full ? "it has as many as one peer may have "
                         "(--connections-per-peer)"
                       : "no more are taken from anybody");
}

Connections::Limits WithinDescriptors(Connections::Limits limits) {
  rlimit allowed = {};
  if (getrlimit(RLIMIT_NOFILE, &allowed) != 0 ||
      allowed.rlim_cur == RLIM_INFINITY)
    return limits;
  limits.total =
      std::min(limits.total, static_cast<size_t>(allowed.rlim_cur) / 2);
  limits.per_peer = std::min(limits.per_peer, limits.total / 2);
  return limits;
}

}  // namespace paramo
