#include "common/transport/shm_lanes.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/log.h"
#include "common/base/random.h"
#include "common/base/status.h"

namespace paramo {
namespace {

constexpr char kBytesName[] = "paramo_shm_bytes_total";
constexpr char kBytesHelp[] = "Bytes of messages in shared memory.";
constexpr char kRefusedName[] = "paramo_shm_refused_total";
constexpr char kRefusedHelp[] =
    "Lanes of shared memory refused, by reason; the client goes on by gRPC.";

// While no descriptor is free the socket stays readable, and asking again at
// once would spin. The client gives up after a second (ShmClient::Connect).
constexpr int kBackOffMs = 100;

bool IsShortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS ||
         error == ENOMEM;
}

bool IsThisUser(const Descriptor& socket) {
  ucred peer = {};
  socklen_t bytes = sizeof peer;
  return getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &bytes) ==
             0 &&
         peer.uid == geteuid();
}

bool SendGrant(const Descriptor& socket, LaneGrant grant, int memory) {
  iovec data = {&grant, sizeof grant};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(rights), &memory, sizeof memory);
  // The socket is new: what does not fit into it at once never will.
  return sendmsg(socket.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) ==
         static_cast<ssize_t>(sizeof grant);
}

}  // namespace

ShmCounters::ShmCounters(MetricsRegistry& registry)
    : lanes(registry.AddGauge("paramo_shm_lanes",
                              "Lanes of shared memory that clients have.")),
      bytes_in(registry.AddCounter(kBytesName, kBytesHelp,
                                   {{"direction", "received"}})),
      bytes_out(
          registry.AddCounter(kBytesName, kBytesHelp, {{"direction", "sent"}})),
      other_user(registry.AddCounter(kRefusedName, kRefusedHelp,
                                     {{"reason", "other_user"}})),
      lanes_max(registry.AddCounter(kRefusedName, kRefusedHelp,
                                    {{"reason", "lanes_max"}})),
      no_memory(registry.AddCounter(kRefusedName, kRefusedHelp,
                                    {{"reason", "no_memory"}})),
      large_replies(registry.AddCounter(
          "paramo_shm_large_replies_total",
          "Replies sent by gRPC, larger than their place in shared memory.")) {}

ShmLanes::ShmLanes(Options options, MetricsRegistry& metrics)
    : options_(std::move(options)),
      token_(MakeRandomId()),
      counters_(metrics) {}

absl::StatusOr<std::unique_ptr<ShmLanes>> ShmLanes::Start(
    const Options& options, MetricsRegistry& metrics) {
  std::unique_ptr<ShmLanes> lanes(new ShmLanes(options, metrics));
  PARAMO_RETURN_IF_ERROR(lanes->Listen());
  lanes->thread_ = std::thread([self = lanes.get()] { self->Run(); });
  return lanes;
}

// The directory may be left from an earlier run, with its socket.
absl::Status ShmLanes::Listen() {
  if (mkdir(options_.directory.c_str(), 0700) != 0 && errno != EEXIST)
    return ErrnoStatus(errno, options_.directory.c_str());
  PARAMO_ASSIGN_OR_RETURN(directory_, OpenPrivateDirectory(options_.directory));
  unlinkat(directory_.get(), kLaneSocketName, 0);
  socket_ = Descriptor(
      socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const sockaddr_un address = LaneSocket(directory_);
  if (!socket_.valid() ||
      bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address),
           sizeof address) != 0 ||
      listen(socket_.get(), static_cast<int>(options_.lanes_max)) != 0)
    return ErrnoStatus(errno, "a socket for shared memory");
  stop_ = Descriptor(eventfd(0, EFD_CLOEXEC));
  return stop_.valid() ? absl::OkStatus() : ErrnoStatus(errno, "eventfd");
}

ShmLanes::~ShmLanes() {
  if (!thread_.joinable()) return;
  eventfd_write(stop_.get(), 1);
  thread_.join();
  unlinkat(directory_.get(), kLaneSocketName, 0);
}

std::shared_ptr<ShmLane> ShmLanes::Claim(uint64_t lane) {
  MutexLock lock(mu_);
  const auto found = unclaimed_.find(lane);
  if (found == unclaimed_.end()) return nullptr;
  std::shared_ptr<ShmLane> claimed = std::move(found->second);
  unclaimed_.erase(found);
  return claimed;
}

void ShmLanes::Run() {
  pthread_setname_np(pthread_self(), "shm");
  std::vector<pollfd> ready;
  bool backing_off = false;
  for (;;) {
    // poll looks past a negative descriptor.
    ready = {{stop_.get(), POLLIN, 0},
             {backing_off ? -1 : socket_.get(), POLLIN, 0}};
    for (const Client& client : clients_)
      ready.push_back({client.socket.get(), POLLIN, 0});
    poll(ready.data(), ready.size(), backing_off ? kBackOffMs : -1);
    if (ready[0].revents != 0) return;
    // Backwards, so that what is removed moves nothing that is yet to be seen.
    // A client has nothing to say: what comes is its end.
    for (size_t i = clients_.size(); i-- > 0;) {
      if (ready[i + 2].revents == 0) continue;
      Claim(clients_[i].lane);  // and drops it, unless a stream has it
      clients_.erase(clients_.begin() + static_cast<ptrdiff_t>(i));
    }
    if (backing_off || ready[1].revents != 0) backing_off = !Admit();
  }
}

bool ShmLanes::Admit() {
  Descriptor socket(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket.valid()) return !IsShortage(errno);
  if (const uint64_t lane = GiveLane(socket); lane != 0)
    clients_.push_back({std::move(socket), lane});
  return true;
}

uint64_t ShmLanes::GiveLane(const Descriptor& socket) {
  if (!IsThisUser(socket)) {
    counters_.other_user.Add();
    return 0;
  }
  const auto lanes = static_cast<size_t>(counters_.lanes.Value());
  if (std::max(lanes, clients_.size()) >= options_.lanes_max) {
    counters_.lanes_max.Add();
    return 0;
  }
  auto memory = SharedMemory::Make(options_.lane_bytes);
  if (!memory.ok()) {
    counters_.no_memory.Add();
    LogWarning("no shared memory for a client: %s", ToString(memory.status()));
    return 0;
  }
  auto lane = std::make_shared<ShmLane>(*std::move(memory), counters_);
  const uint64_t name = MakeRandomId();
  const int descriptor = lane->memory->descriptor();
  {
    MutexLock lock(mu_);
    unclaimed_.emplace(name, std::move(lane));
  }
  if (SendGrant(socket, {token_, name, options_.lane_bytes}, descriptor))
    return name;
  Claim(name);
  return 0;
}

}  // namespace paramo
