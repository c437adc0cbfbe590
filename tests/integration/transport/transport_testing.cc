#include "tests/integration/transport/transport_testing.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/wire/reply.h"
#include "common/wire/request.h"

namespace paramo {

std::string MessageText(uint64_t id, size_t payload_bytes) {
  std::string text(9 + payload_bytes, static_cast<char>('a' + id % 26));
  text[0] = 0x09;  // field 1, 64-bit
  std::memcpy(text.data() + 1, &id, sizeof id);
  return text;
}

Message ToMessage(const std::string& text) {
  Buffer buffer(text.size());
  std::memcpy(buffer.data(), text.data(), text.size());
  Message message;
  message.push_back(std::move(buffer));
  return message;
}

void AnswerHello(IncomingCall& call) {
  const wire::Hello hello;
  call.Reply(wire::WriteReply(wire::PeekId(call.request()), 0,
                              wire::Reason::kNone, 0, "", &hello));
}

void Echo(std::unique_ptr<IncomingCall> call) {
  if (call->first()) return AnswerHello(*call);
  const Rope& request = call->request();
  Buffer buffer(request.size());
  request.Copy(0, request.size(), buffer.data());
  Message reply;
  reply.push_back(std::move(buffer));
  call->Reply(std::move(reply));
}

std::unique_ptr<DataServer> StartServer(DataHandler handler, int port) {
  DataServer::Options options;
  options.listen = {absl::StrCat("127.0.0.1:", port)};
  options.handler = std::move(handler);
  return StartServer(std::move(options));
}

std::unique_ptr<DataServer> StartServer(DataServer::Options options) {
  if (options.listen.empty()) options.listen = {"127.0.0.1:0"};
  auto server = DataServer::Start(std::move(options));
  EXPECT_TRUE(server.ok()) << server.status();
  return server.ok() ? std::move(*server) : nullptr;
}

DataChannel::Options ChannelTo(int port) {
  DataChannel::Options options;
  options.address = absl::StrCat("127.0.0.1:", port);
  options.hello = [] { return wire::WriteHelloRequest(1, wire::Hello()); };
  options.check_hello = [](const Rope& rope) {
    const auto reply = wire::ParseReply(Rope::FromString(rope.Flatten()));
    if (!reply.ok()) return reply.status();
    return reply->hello.has_value()
               ? absl::OkStatus()
               : absl::FailedPreconditionError("no Hello in the answer");
  };
  options.seed = 7;
  return options;
}

bool WaitUntil(const std::function<bool()>& condition) {
  const absl::Time end = absl::Now() + absl::Seconds(10);
  while (!condition()) {
    if (absl::Now() > end) return false;
    absl::SleepFor(absl::Milliseconds(5));
  }
  return true;
}

DataChannel::Done Outcome::Done() const {
  return [state = state_](absl::StatusOr<Rope> reply) {
    MutexLock lock(state->mu);
    ++state->count;
    if (reply.ok()) {
      state->result = reply->Flatten();
    } else {
      state->result = reply.status();
    }
    state->cv.NotifyAll();
  };
}

absl::StatusOr<std::string> Outcome::Wait() const {
  const absl::Time end = absl::Now() + absl::Seconds(20);
  MutexLock lock(state_->mu);
  while (state_->count == 0) {
    if (absl::Now() > end) {
      ADD_FAILURE() << "no outcome within 20 s";
      return absl::InternalError("no outcome");
    }
    state_->cv.WaitFor(state_->mu, end - absl::Now());
  }
  return state_->result;
}

int Outcome::count() const {
  MutexLock lock(state_->mu);
  return state_->count;
}

absl::Status EchoOnce(DataChannel& channel, size_t payload_bytes,
                      absl::Duration timeout) {
  const uint64_t id = channel.NextId();
  const std::string text = MessageText(id, payload_bytes);
  const Outcome outcome;
  channel.Send(id, ToMessage(text), timeout, outcome.Done());
  const absl::StatusOr<std::string> reply = outcome.Wait();
  if (!reply.ok()) return reply.status();
  return *reply == text ? absl::OkStatus()
                        : absl::DataLossError("other bytes came back");
}

double MetricValue(const MetricsRegistry& registry, const std::string& name,
                   const std::string& labels) {
  for (const MetricSample& sample : registry.Collect())
    if (sample.name == name && sample.labels == labels) return sample.value;
  return -1;
}

size_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  size_t total = 0;
  size_t resident = 0;
  statm >> total >> resident;
  return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

RawSocket::RawSocket(int port, const char* source)
    : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
  sockaddr_in from = {};
  from.sin_family = AF_INET;
  EXPECT_EQ(inet_pton(AF_INET, source, &from.sin_addr), 1);
  EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&from), sizeof from), 0);
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(static_cast<uint16_t>(port));
  EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
}

RawSocket::~RawSocket() { close(fd_); }

bool RawSocket::Send(const std::string& bytes) {
  for (size_t sent = 0; sent < bytes.size();) {
    const ssize_t n =
        send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) return false;
    sent += static_cast<size_t>(n);
  }
  return true;
}

bool RawSocket::ClosedWithin(absl::Duration wait, std::string* received) {
  const absl::Time end = absl::Now() + wait;
  for (;;) {
    pollfd ready = {fd_, POLLIN, 0};
    const int64_t left_ms = absl::ToInt64Milliseconds(end - absl::Now());
    if (left_ms <= 0 || poll(&ready, 1, static_cast<int>(left_ms)) <= 0)
      return false;
    char bytes[4096];
    const ssize_t n = recv(fd_, bytes, sizeof bytes, 0);
    if (n <= 0) return true;  // end of stream, or reset
    if (received != nullptr) received->append(bytes, static_cast<size_t>(n));
  }
}

}  // namespace paramo
