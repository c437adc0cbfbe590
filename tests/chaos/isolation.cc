#include "tests/chaos/isolation.h"

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "client/cli/process.h"
#include "common/base/status.h"

namespace paramo::chaos {
namespace {

constexpr absl::Duration kNftWithin = absl::Seconds(10);

// The packet filter: everything from or to an address in a set is dropped on
// its way out, which on the loopback device is every packet once.
constexpr const char* kRules[] = {
    "add table ip chaos",
    "add set ip chaos cut { type ipv4_addr; }",
    "add chain ip chaos out { type filter hook output priority 0; }",
    "add rule ip chaos out ip saddr @cut drop",
    "add rule ip chaos out ip daddr @cut drop",
};

absl::Status Nft(const std::string& command) {
  for (const char* path : {"/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"}) {
    if (::access(path, X_OK) != 0) continue;
    cli::ProcessOptions options;
    options.name = "nft";
    options.argv = {path, command};
    PARAMO_ASSIGN_OR_RETURN(auto nft, cli::Process::Start(options));
    nft->WaitFor(kNftWithin);
    if (nft->succeeded()) return absl::OkStatus();
    return absl::UnavailableError(
        absl::StrCat("nft '", command, "': ", nft->Outcome()));
  }
  return absl::NotFoundError("nft is missing; install nftables");
}

absl::Status RaiseLoopback() {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request = {};
  std::strncpy(request.ifr_name, "lo", IFNAMSIZ - 1);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  const int result = ::ioctl(fd, SIOCSIFFLAGS, &request);
  const int error = errno;
  ::close(fd);
  if (result == 0) return absl::OkStatus();
  return ErrnoStatus(error, "cannot raise the loopback device");
}

}  // namespace

Isolation Isolation::Enter() {
  Isolation isolation;
  isolation.network_ = isolation.EnterNetwork();
  if (::unshare(CLONE_NEWNS) != 0) {
    isolation.mounts_ = ErrnoStatus(errno, "no mounts of our own");
  } else if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) !=
             0) {
    isolation.mounts_ = ErrnoStatus(errno, "cannot keep mounts private");
  }
  return isolation;
}

absl::Status Isolation::EnterNetwork() {
  if (::unshare(CLONE_NEWNET) != 0) {
    return ErrnoStatus(errno, "no network of our own");
  }
  PARAMO_RETURN_IF_ERROR(RaiseLoopback());
  for (const char* rule : kRules) PARAMO_RETURN_IF_ERROR(Nft(rule));
  return absl::OkStatus();
}

absl::Status Isolation::Elements(const char* verb,
                                 const std::vector<std::string>& ips) {
  PARAMO_RETURN_IF_ERROR(network_);
  return Nft(absl::StrCat(verb, " element ip chaos cut { ",
                          absl::StrJoin(ips, ", "), " }"));
}

absl::Status Isolation::Cut(const std::vector<std::string>& ips) {
  return Elements("add", ips);
}

absl::Status Isolation::Mend(const std::vector<std::string>& ips) {
  return Elements("delete", ips);
}

absl::Status Isolation::Mount(const std::string& directory, uint64_t bytes) {
  PARAMO_RETURN_IF_ERROR(mounts_);
  if (::mount("paramo-chaos", directory.c_str(), "tmpfs", MS_NOSUID | MS_NODEV,
              absl::StrCat("size=", bytes).c_str()) == 0) {
    return absl::OkStatus();
  }
  return ErrnoStatus(errno, absl::StrCat("cannot mount on ", directory));
}

}  // namespace paramo::chaos
