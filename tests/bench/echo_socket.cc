// Raw sockets. Nothing frames a message: both ends know the sizes, so counting
// bytes tells how many requests have come and how many answers are owed.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/base/descriptor.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "tests/bench/echo.h"

namespace paramo::bench {
namespace {

// A socket that sends bytes as they are owed, in messages of one size, and
// counts those that come.
class Counted {
 public:
  Counted(Descriptor fd, uint64_t message_bytes)
      : fd_(std::move(fd)),
        source_(SourceBytes(message_bytes), 's'),
        sink_(kReadChunkBytes) {
    ::fcntl(fd_.get(), F_SETFL, O_NONBLOCK);
    const int on = 1;  // fails on a unix socket, which does not wait anyway
    ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }

  void Owe(uint64_t bytes) { owed_ += bytes; }
  uint64_t received() const { return received_; }
  int fd() const { return fd_.get(); }

  // Waits until something can be done, then does what can be.
  // Errors: UNAVAILABLE  the other end has gone
  absl::Status Step(absl::Duration at_most) {
    pollfd what = {fd_.get(), POLLIN, 0};
    if (owed_ > 0) what.events |= POLLOUT;
    timespec timeout = absl::ToTimespec(
        std::clamp(at_most, absl::ZeroDuration(), absl::Hours(1)));
    const int ready = ::ppoll(&what, 1, &timeout, nullptr);
    if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, "poll");
    if (ready <= 0) return absl::OkStatus();
    if ((what.revents & POLLOUT) != 0) PARAMO_RETURN_IF_ERROR(SendSome());
    if ((what.revents & ~POLLOUT) != 0) PARAMO_RETURN_IF_ERROR(Receive());
    return absl::OkStatus();
  }
  absl::Status SendSome() {
    while (owed_ > 0) {
      const size_t part = std::min<uint64_t>(owed_, source_.size() - at_);
      const ssize_t sent =
          ::send(fd_.get(), source_.data() + at_, part, MSG_NOSIGNAL);
      if (sent < 0 && errno == EAGAIN) break;
      if (sent < 0) return ErrnoStatus(errno, "send");
      owed_ -= static_cast<uint64_t>(sent);
      at_ = (at_ + static_cast<size_t>(sent)) % source_.size();
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Receive() {
    const ssize_t got = ::recv(fd_.get(), sink_.data(), sink_.size(), 0);
    if (got < 0 && errno == EAGAIN) return absl::OkStatus();
    if (got < 0) return ErrnoStatus(errno, "recv");
    if (got == 0) return absl::UnavailableError("the other end has gone");
    received_ += static_cast<uint64_t>(got);
    return absl::OkStatus();
  }

  const Descriptor fd_;
  const std::string source_;
  size_t at_ = 0;
  std::vector<char> sink_;
  uint64_t owed_ = 0;
  uint64_t received_ = 0;
};

class SocketEcho final : public Requester {
 public:
  SocketEcho(Descriptor fd, const EchoSizes& sizes)
      : sizes_(sizes), socket_(std::move(fd), sizes.request) {}

  absl::Status Send(size_t) override {
    socket_.Owe(sizes_.request);
    return socket_.SendSome();
  }
  absl::Status Wait(absl::Time deadline,
                    std::vector<size_t>& answered) override {
    while (answered.empty()) {
      PARAMO_RETURN_IF_ERROR(socket_.Step(deadline - absl::Now()));
      const uint64_t whole = socket_.received() / sizes_.answer;
      while (next_ < whole) answered.push_back(next_++);
      if (absl::Now() >= deadline) break;
    }
    return absl::OkStatus();
  }

 private:
  const EchoSizes sizes_;
  Counted socket_;
  uint64_t next_ = 0;  // the request whose answer comes next
};

union SocketAddress {
  sockaddr any;
  sockaddr_in in;
  sockaddr_un un;
};

// Of "127.0.0.1:PORT" or a path; returns its length.
socklen_t Fill(Via via, const std::string& address, SocketAddress& out) {
  std::memset(&out, 0, sizeof out);
  if (via == Via::kUnix) {
    out.un.sun_family = AF_UNIX;
    address.copy(out.un.sun_path, sizeof out.un.sun_path - 1);
    return sizeof out.un;
  }
  int port = 0;
  const std::vector<std::string> parts = absl::StrSplit(address, ':');
  if (parts.size() == 2 && !absl::SimpleAtoi(parts[1], &port)) port = 0;
  out.in.sin_family = AF_INET;
  out.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  out.in.sin_port = htons(static_cast<uint16_t>(port));
  return sizeof out.in;
}

Descriptor MakeSocket(Via via) {
  return Descriptor(::socket(via == Via::kUnix ? AF_UNIX : AF_INET,
                             SOCK_STREAM | SOCK_CLOEXEC, 0));
}

// Serves one connection after the other on a thread of its own.
class SocketListener final : public EchoListener {
 public:
  SocketListener(Descriptor fd, std::string address)
      : fd_(std::move(fd)), address_(std::move(address)) {
    thread_ = std::thread([this] {
      Descriptor next;
      while ((next = Accept()).valid()) Serve(std::move(next));
    });
  }
  ~SocketListener() override {
    stop_.store(true, std::memory_order_relaxed);
    ::shutdown(fd_.get(), SHUT_RDWR);  // wakes accept
    thread_.join();
  }
  std::string address() const override { return address_; }

 private:
  Descriptor Accept() {
    return Descriptor(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  // Until its client goes, which is not an error.
  void Serve(Descriptor fd) {
    EchoSizes sizes;
    if (::recv(fd.get(), &sizes, sizeof sizes, MSG_WAITALL) !=
            static_cast<ssize_t>(sizeof sizes) ||
        sizes.request == 0) {
      return;
    }
    Counted socket(std::move(fd), sizes.answer);
    uint64_t answered = 0;
    while (!stop_.load(std::memory_order_relaxed)) {
      if (!socket.Step(absl::Milliseconds(200)).ok()) return;
      for (; answered < socket.received() / sizes.request; ++answered) {
        socket.Owe(sizes.answer);
      }
      if (!socket.SendSome().ok()) return;
    }
  }

  const Descriptor fd_;
  const std::string address_;
  std::atomic<bool> stop_{false};  // relaxed: nothing hangs on it
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Requester>> ConnectSocketEcho(
    Via via, const std::string& address, const EchoSizes& sizes) {
  Descriptor fd = MakeSocket(via);
  SocketAddress to;
  const socklen_t length = Fill(via, address, to);
  if (::connect(fd.get(), &to.any, length) != 0 ||
      ::send(fd.get(), &sizes, sizeof sizes, MSG_NOSIGNAL) !=
          static_cast<ssize_t>(sizeof sizes)) {
    return ErrnoStatus(errno, absl::StrCat("cannot reach ", address));
  }
  return std::make_unique<SocketEcho>(std::move(fd), sizes);
}

absl::StatusOr<std::unique_ptr<EchoListener>> ListenForSocketEcho(
    const std::string& path) {
  const Via via = path.empty() ? Via::kTcp : Via::kUnix;
  Descriptor fd = MakeSocket(via);
  SocketAddress at;
  socklen_t length = Fill(via, path, at);
  if (::bind(fd.get(), &at.any, length) != 0 || ::listen(fd.get(), 16) != 0 ||
      ::getsockname(fd.get(), &at.any, &length) != 0) {
    return ErrnoStatus(errno, "cannot listen");
  }
  std::string address = via == Via::kUnix
                            ? path
                            : absl::StrCat("127.0.0.1:", ntohs(at.in.sin_port));
  return std::make_unique<SocketListener>(std::move(fd), std::move(address));
}

}  // namespace paramo::bench
