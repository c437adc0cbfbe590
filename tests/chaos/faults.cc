#include "tests/chaos/faults.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"

namespace paramo::chaos {
namespace {

// A fault lasts from well below to well above the time in which a dead server
// is noticed (0.3 s).
constexpr int64_t kLengthMinMs = 100;
constexpr uint64_t kLengthRangeMs = 1900;
// One that nobody may feel, so much longer: who waits for its end is told from
// who waits for the processor (kStallNanos of clients.cc).
constexpr absl::Duration kHarmlessLonger = absl::Seconds(2);
// Holds what a run writes several times over, and is full within a second.
constexpr uint64_t kDiskBytes = uint64_t{160} << 20;
// 3,000 pushes from one fault to the next, four records of 250 bytes each, and
// as much again.
constexpr uint64_t kLogBytesPerFault = uint64_t{6} << 20;
constexpr const char* kFiller = "/filler";

struct Entry {
  FaultKind kind;
  const char* name;
};
constexpr Entry kKinds[] = {
    {FaultKind::kKill9, "kill9"},
    {FaultKind::kStop, "stop"},
    {FaultKind::kPartition, "partition"},
    {FaultKind::kBlackhole, "blackhole"},
    {FaultKind::kDelay, "delay"},
    {FaultKind::kReorder, "reorder"},
    {FaultKind::kDuplicate, "duplicate"},
    {FaultKind::kCorrupt, "corrupt"},
    {FaultKind::kHalfOpen, "half_open"},
    {FaultKind::kDiskFull, "disk_full"},
    {FaultKind::kCoordinatorKill, "coordinator_kill"},
    {FaultKind::kEtcdKill, "etcd_kill"},
    {FaultKind::kWorkerKill, "worker_kill"},
};

ProxyFault ProxyFaultOf(FaultKind kind) {
  switch (kind) {
    case FaultKind::kDelay:
      return ProxyFault::kDelay;
    case FaultKind::kReorder:
      return ProxyFault::kReorder;
    case FaultKind::kDuplicate:
      return ProxyFault::kDuplicate;
    case FaultKind::kCorrupt:
      return ProxyFault::kCorrupt;
    case FaultKind::kHalfOpen:
      return ProxyFault::kHalfOpen;
    case FaultKind::kPartition:
    case FaultKind::kBlackhole:
      return ProxyFault::kHold;
    default:
      return ProxyFault::kNone;
  }
}

// Writes until there is no room.
absl::Status FillDisk(const std::string& directory) {
  const std::string path = directory + kFiller;
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("cannot make ", path));
  // The second size takes what the first leaves.
  for (size_t bytes : {size_t{1} << 20, size_t{4} << 10}) {
    const std::string zeros(bytes, '\0');
    while (::write(fd, zeros.data(), zeros.size()) > 0) {
    }
  }
  const int error = errno;
  ::close(fd);
  if (error == ENOSPC) return absl::OkStatus();
  return ErrnoStatus(error, absl::StrCat("cannot fill ", path));
}

absl::Status EmptyDisk(const std::string& directory) {
  const std::string path = directory + kFiller;
  if (::unlink(path.c_str()) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("cannot remove ", path));
}

}  // namespace

const char* Name(FaultKind kind) {
  return kKinds[static_cast<size_t>(kind)].name;
}

std::vector<FaultKind> AllKinds() {
  std::vector<FaultKind> kinds;
  for (const Entry& entry : kKinds) kinds.push_back(entry.kind);
  return kinds;
}

absl::StatusOr<std::vector<FaultKind>> ParseKinds(const std::string& list) {
  std::vector<FaultKind> kinds;
  for (absl::string_view word : absl::StrSplit(list, ',', absl::SkipEmpty())) {
    const Entry* found =
        std::find_if(std::begin(kKinds), std::end(kKinds),
                     [&](const Entry& entry) { return entry.name == word; });
    if (found == std::end(kKinds)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--kinds: no fault '", word, "'; there are ",
          absl::StrJoin(kKinds, ", ", [](std::string* out, const Entry& entry) {
            absl::StrAppend(out, entry.name);
          })));
    }
    kinds.push_back(found->kind);
  }
  if (!kinds.empty()) return kinds;
  return absl::InvalidArgumentError("--kinds: write at least one, e.g. kill9");
}

absl::Status CanHave(FaultKind kind, const Isolation& isolation, bool etcd) {
  if (kind == FaultKind::kEtcdKill && !etcd) {
    return absl::FailedPreconditionError("the store is embedded, not etcd");
  }
  return kind == FaultKind::kDiskFull ? isolation.mounts() : absl::OkStatus();
}

uint64_t DiskBytesFor(const std::vector<FaultKind>& kinds,
                      uint64_t logged_faults) {
  const bool full =
      std::count(kinds.begin(), kinds.end(), FaultKind::kDiskFull) > 0;
  return full ? kDiskBytes + logged_faults * kLogBytesPerFault : 0;
}

Fault::Fault(FaultKind kind, const Scene& scene, BitGen& random)
    : kind_(kind),
      length_(absl::Milliseconds(
          kLengthMinMs + static_cast<int64_t>(random.Below(kLengthRangeMs)))) {
  if (harmless()) length_ += kHarmlessLonger;
  const int server = static_cast<int>(
      random.Below(static_cast<uint64_t>(scene.cluster.servers())));
  switch (kind) {
    case FaultKind::kCoordinatorKill:
      target_ = "coordinator";
      return;
    case FaultKind::kEtcdKill:
      member_ = static_cast<int>(
          random.Below(static_cast<uint64_t>(scene.cluster.etcd_members())));
      target_ = absl::StrCat("etcd-", member_ + 1);
      return;
    case FaultKind::kWorkerKill:
      client_ = random.Below(scene.clients.live());
      target_ = "client";
      return;
    default:
      node_ = server;
      target_ = scene.cluster.process(server).name();
  }
}

bool Fault::sudden() const {
  return kind_ == FaultKind::kKill9 || kind_ == FaultKind::kWorkerKill ||
         harmless();
}

bool Fault::harmless() const {
  return kind_ == FaultKind::kCoordinatorKill || kind_ == FaultKind::kEtcdKill;
}

std::string Fault::WhyNoEffect(Scene& scene) const {
  if (node_ < 0) return "";
  const ProxyCounters now = scene.cluster.data_proxy(node_).counters();
  switch (kind_) {
    case FaultKind::kDelay:
      return now.delayed_pieces > before_.delayed_pieces ? "" : "no delay";
    case FaultKind::kDuplicate:
      return now.copied_bytes > before_.copied_bytes ? "" : "nothing copied";
    case FaultKind::kCorrupt:
      return now.flipped_bits > before_.flipped_bits ? "" : "no bit flipped";
    case FaultKind::kHalfOpen:
      return now.vanished_bytes > before_.vanished_bytes ? ""
                                                         : "nothing vanished";
    default:
      return "";
  }
}

absl::Status Fault::Inject(Scene& scene) {
  if (node_ >= 0) before_ = scene.cluster.data_proxy(node_).counters();
  // A server ends rather than go on without its disk.
  scene.cluster.MayEnd(kind_ == FaultKind::kDiskFull ? std::optional(node_)
                                                     : std::nullopt);
  switch (kind_) {
    case FaultKind::kCoordinatorKill: {
      PARAMO_ASSIGN_OR_RETURN(node_, scene.cluster.LeadingCoordinator());
      target_ = scene.cluster.process(node_).name();
      [[fallthrough]];
    }
    case FaultKind::kKill9:
      scene.cluster.process(node_).Stop(absl::ZeroDuration());
      return absl::OkStatus();
    case FaultKind::kEtcdKill:
      scene.cluster.KillEtcd(member_);
      return absl::OkStatus();
    case FaultKind::kStop:
      scene.cluster.process(node_).Signal(SIGSTOP);
      return absl::OkStatus();
    case FaultKind::kWorkerKill: {
      PARAMO_ASSIGN_OR_RETURN(victim_, scene.clients.Kill(client_));
      target_ = absl::StrCat("client-", victim_);
      return absl::OkStatus();
    }
    case FaultKind::kDiskFull:
      return FillDisk(scene.cluster.data_dir(node_));
    case FaultKind::kPartition:
    case FaultKind::kBlackhole:
      return InjectInNetwork(scene);
    default:
      scene.cluster.data_proxy(node_).Inject(ProxyFaultOf(kind_));
      return absl::OkStatus();
  }
}

absl::Status Fault::Heal(Scene& scene) {
  switch (kind_) {
    case FaultKind::kKill9:
    case FaultKind::kCoordinatorKill:
      return scene.cluster.Restart(node_);
    case FaultKind::kEtcdKill:
      return scene.cluster.RestartEtcd(member_);
    case FaultKind::kStop:
      scene.cluster.process(node_).Signal(SIGCONT);
      return absl::OkStatus();
    case FaultKind::kWorkerKill:
      return scene.clients.Start();
    case FaultKind::kDiskFull:
      return EmptyDisk(scene.cluster.data_dir(node_));
    case FaultKind::kPartition:
    case FaultKind::kBlackhole:
      return HealInNetwork(scene);
    default:
      scene.cluster.data_proxy(node_).Heal();
      return absl::OkStatus();
  }
}

// Packets vanish where there is a network of our own; bytes wait in the proxies
// where there is not.
absl::Status Fault::InjectInNetwork(Scene& scene) {
  const bool all = kind_ == FaultKind::kPartition;
  if (scene.isolation.network().ok()) {
    return scene.isolation.Cut(all ? scene.cluster.AllIps(node_)
                                   : scene.cluster.DataIps(node_));
  }
  if (all) {
    scene.cluster.HoldAll(node_);
  } else {
    scene.cluster.data_proxy(node_).Inject(ProxyFault::kHold);
  }
  return absl::OkStatus();
}

absl::Status Fault::HealInNetwork(Scene& scene) {
  const bool all = kind_ == FaultKind::kPartition;
  if (scene.isolation.network().ok()) {
    return scene.isolation.Mend(all ? scene.cluster.AllIps(node_)
                                    : scene.cluster.DataIps(node_));
  }
  scene.cluster.ReleaseAll(node_);
  return absl::OkStatus();
}

}  // namespace paramo::chaos
