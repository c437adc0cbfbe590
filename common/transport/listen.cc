#include "common/transport/listen.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/log.h"
#include "common/base/status.h"

namespace paramo {
namespace {

// Connections that have shaken hands with the kernel and wait for us. The
// kernel takes its own limit (net.core.somaxconn, 4096) where that is less.
constexpr int kBacklog = 65535;

using Resolved = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

absl::StatusOr<Resolved> Resolve(const Address& address) {
  addrinfo hints = {};
  hints.ai_flags = AI_NUMERICSERV | AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(
      address.host.c_str(), absl::StrCat(address.port).c_str(), &hints, &found);
  if (error != 0)
    return absl::UnavailableError(absl::StrCat(
        "cannot listen on ", address.ToString(), ": ", gai_strerror(error)));
  return Resolved(found, &freeaddrinfo);
}

void Switch(int fd, int level, int option, int value) {
  setsockopt(fd, level, option, &value, sizeof value);
}

absl::Status SetCongestion(int fd, const std::string& name) {
  if (name.empty() || setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.c_str(),
                                 static_cast<socklen_t>(name.size())) == 0)
    return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "the kernel has no congestion control \"", Printable(name),
      "\" for this process (", std::strerror(errno),
      "); net.ipv4.tcp_available_congestion_control lists what it has"));
}

// Nagle's algorithm would hold every reply that is less than a packet until
// the one before is acknowledged.
absl::Status Configure(int fd, int family, bool any,
                       const SocketOptions& options) {
  Switch(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (family == AF_INET6) Switch(fd, IPPROTO_IPV6, IPV6_V6ONLY, any ? 0 : 1);
  Switch(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  Switch(fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
         static_cast<int>(absl::ToInt64Milliseconds(options.user_timeout)));
  return SetCongestion(fd, options.congestion);
}

// Where the port stands is the same for both kinds of address.
in_port_t& PortOf(sockaddr* address) {
  return reinterpret_cast<sockaddr_in*>(address)->sin_port;
}

// Listens on `one`, whose port is set to the one taken. Errors: as errno, or 0.
absl::StatusOr<Descriptor> ListenOn(addrinfo& one, const SocketOptions& options,
                                    int& error) {
  error = 0;
  Descriptor fd(
      socket(one.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) {
    error = errno;
    return Descriptor();
  }
  const bool any =
      one.ai_family == AF_INET6 &&
      IN6_IS_ADDR_UNSPECIFIED(
          &reinterpret_cast<sockaddr_in6*>(one.ai_addr)->sin6_addr);
  PARAMO_RETURN_IF_ERROR(Configure(fd.get(), one.ai_family, any, options));
  socklen_t bytes = one.ai_addrlen;
  if (bind(fd.get(), one.ai_addr, one.ai_addrlen) != 0 ||
      listen(fd.get(), kBacklog) != 0 ||
      getsockname(fd.get(), one.ai_addr, &bytes) != 0) {
    error = errno;
    return Descriptor();
  }
  return fd;
}

// A kind of address that this machine does not have: "localhost" names both.
bool IsAbsent(int error) {
  return error == EADDRNOTAVAIL || error == EAFNOSUPPORT;
}

}  // namespace

absl::StatusOr<Listening> Listen(const Address& address,
                                 const SocketOptions& options) {
  PARAMO_ASSIGN_OR_RETURN(Resolved found, Resolve(address));
  Listening listening;
  listening.port = address.port;
  int error = 0;
  for (addrinfo* one = found.get(); one != nullptr; one = one->ai_next) {
    PortOf(one->ai_addr) = htons(static_cast<in_port_t>(listening.port));
    PARAMO_ASSIGN_OR_RETURN(Descriptor fd, ListenOn(*one, options, error));
    if (fd.valid()) {
      listening.port = ntohs(PortOf(one->ai_addr));
      listening.sockets.push_back(std::move(fd));
    } else if (!IsAbsent(error)) {
      listening.sockets.clear();
      break;
    }
  }
  if (!listening.sockets.empty()) return listening;
  return absl::UnavailableError(absl::StrCat(
      "cannot listen on ", address.ToString(), ": ", std::strerror(error),
      error == EADDRINUSE ? "; another process has the port, and port 0 takes "
                            "a free one"
                          : ""));
}

}  // namespace paramo
