#include "common/metrics/metrics_http.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/metrics/metrics_internal.h"

namespace paramo {
namespace {

constexpr size_t kRequestHeadBytesMax = 8 << 10;

// Waits until `fd` is ready for `events`; false at the deadline or when
// `stop` becomes readable.
bool WaitReady(int fd, short events, int stop, absl::Time deadline) {
  for (;;) {
    // Rounded up, so that poll does not return just before the deadline.
    const int timeout =
        deadline == absl::InfiniteFuture()
            ? -1
            : static_cast<int>(std::max<int64_t>(
                  0, absl::ToInt64Milliseconds(deadline - absl::Now()) + 1));
    pollfd ready[2] = {{fd, events, 0}, {stop, POLLIN, 0}};
    const int n = poll(ready, 2, timeout);
    if (n < 0 && errno == EINTR) continue;
    return n > 0 && ready[1].revents == 0;
  }
}

std::string HttpResponse(absl::string_view status, absl::string_view type,
                         absl::string_view body) {
  return absl::StrCat("HTTP/1.1 ", status, "\r\nContent-Type: ", type,
                      "\r\nContent-Length: ", body.size(),
                      "\r\nConnection: close\r\n\r\n", body);
}

std::string PlainResponse(absl::string_view status, absl::string_view body) {
  return HttpResponse(status, "text/plain; charset=utf-8", body);
}

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsHttp>> MetricsHttp::Start(
    Options options) {
  addrinfo hints = {};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string port_text = std::to_string(options.port);
  if (getaddrinfo(options.host.c_str(), port_text.c_str(), &hints, &found) != 0)
    return absl::InvalidArgumentError(
        absl::StrCat("metrics address ", options.host, ":", options.port,
                     " is not numeric; write something like 127.0.0.1:9100"));
  const int listener = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const bool bound = listener >= 0 &&
                     bind(listener, found->ai_addr, found->ai_addrlen) == 0 &&
                     listen(listener, 16) == 0;
  const int bind_error = errno;
  freeaddrinfo(found);
  sockaddr_storage name = {};
  socklen_t name_bytes = sizeof name;
  const int stop_event = eventfd(0, EFD_CLOEXEC);
  if (!bound || stop_event < 0 ||
      getsockname(listener, reinterpret_cast<sockaddr*>(&name), &name_bytes) !=
          0) {
    if (listener >= 0) close(listener);
    if (stop_event >= 0) close(stop_event);
    return absl::UnavailableError(absl::StrCat(
        "cannot serve metrics on ", options.host, ":", options.port, ": ",
        strerror(bind_error), "; choose another port, or 0 for any"));
  }
  const int port = ntohs(name.ss_family == AF_INET6
                             ? reinterpret_cast<sockaddr_in6*>(&name)->sin6_port
                             : reinterpret_cast<sockaddr_in*>(&name)->sin_port);
  return std::unique_ptr<MetricsHttp>(
      new MetricsHttp(std::move(options), listener, stop_event, port));
}

MetricsHttp::MetricsHttp(Options options, int listener, int stop_event,
                         int port)
    : options_(std::move(options)),
      listener_(listener),
      stop_event_(stop_event),
      port_(port),
      thread_([this] { Serve(); }) {}

MetricsHttp::~MetricsHttp() {
  eventfd_write(stop_event_, 1);
  thread_.join();
  close(listener_);
  close(stop_event_);
}

void MetricsHttp::Serve() {
  pthread_setname_np(pthread_self(), "metrics-http");
  while (WaitReady(listener_, POLLIN, stop_event_, absl::InfiniteFuture())) {
    const int connection =
        accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (connection < 0) {
      // The peer went away, or no descriptor is free: then the listener stays
      // readable, and trying again at once would spin.
      WaitReady(-1, 0, stop_event_, absl::Now() + absl::Milliseconds(100));
      continue;
    }
    Answer(connection);
    close(connection);
  }
}

void MetricsHttp::Answer(int connection) {
  const absl::Time read_by = absl::Now() + options_.timeout;
  std::string head;
  while (!absl::StrContains(head, "\r\n\r\n")) {
    char bytes[2048];
    if (head.size() > kRequestHeadBytesMax) break;
    if (!WaitReady(connection, POLLIN, stop_event_, read_by)) return;
    const ssize_t n = recv(connection, bytes, sizeof bytes, 0);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n <= 0) return;
    head.append(bytes, n);
  }
  const std::string response = AnswerHttp(options_, head);
  const absl::Time write_by = absl::Now() + options_.timeout;
  for (size_t sent = 0; sent < response.size();) {
    if (!WaitReady(connection, POLLOUT, stop_event_, write_by)) return;
    const ssize_t n = send(connection, response.data() + sent,
                           response.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n <= 0) return;
    sent += n;
  }
}

std::string AnswerHttp(const MetricsHttp::Options& options,
                       const std::string& head) {
  if (head.size() > kRequestHeadBytesMax)
    return PlainResponse("431 Request Header Fields Too Large",
                         "the request head is limited to 8 KiB\n");
  // "GET /metrics?x HTTP/1.1": a query is allowed and ignored.
  const std::string line = head.substr(0, head.find("\r\n"));
  const size_t path_start = line.find(' ') + 1;
  const size_t version = line.rfind(" HTTP/1.");
  if (path_start == 0 || version == std::string::npos || version < path_start)
    return PlainResponse("400 Bad Request", "this is not HTTP/1.1\n");
  const std::string target = line.substr(path_start, version - path_start);
  const std::string path = target.substr(0, target.find('?'));
  if (line.compare(0, path_start, "GET ") != 0)
    return PlainResponse("405 Method Not Allowed", "only GET works here\n");
  if (path == "/metrics")
    return HttpResponse("200 OK", "text/plain; version=0.0.4; charset=utf-8",
                        options.registry->PrometheusText());
  if (path == "/healthz") {
    const absl::Status health =
        options.health ? options.health() : absl::OkStatus();
    return health.ok() ? PlainResponse("200 OK", "ok\n")
                       : PlainResponse("503 Service Unavailable",
                                       ToString(health) + "\n");
  }
  return PlainResponse("404 Not Found", "try /metrics or /healthz\n");
}

}  // namespace paramo
