// What the transport itself costs: messages through DataServer and DataChannel
// over loopback, in one process, with nothing behind them. The floor that the
// data path is measured against.
//
//   transport_bench [--seconds S] [--untuned] [--server-threads N]
//
// push: a request of the size, a reply of 9 bytes. pull: the other way round.
// echo: both. CPU is of the whole process, both ends, user and system. GB is
// 10^9 bytes of payload, one way (echo: one of its two ways).
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/check.h"
#include "common/base/mutex.h"
#include "common/transport/data_client.h"
#include "common/transport/data_server.h"
#include "common/transport/tune.h"
#include "common/wire/reply.h"
#include "common/wire/request.h"

namespace paramo {
namespace {

enum class Direction { kPush, kPull, kEcho };

struct Case {
  const char* name;
  Direction direction;
  size_t bytes;
  int in_flight;
};

constexpr Case kCases[] = {
    {"push", Direction::kPush, 64, 1},
    {"push", Direction::kPush, 64, 16},
    {"echo", Direction::kEcho, 4 << 10, 16},
    {"push", Direction::kPush, 4 << 10, 16},
    {"push", Direction::kPush, 64 << 10, 4},
    {"pull", Direction::kPull, 64 << 10, 4},
    {"echo", Direction::kEcho, 64 << 10, 4},
    {"push", Direction::kPush, 256 << 10, 4},
    {"push", Direction::kPush, 4 << 20, 2},
    {"pull", Direction::kPull, 4 << 20, 2},
    {"echo", Direction::kEcho, 4 << 20, 2},
};

// A message of `bytes` with that id (field 1); the payload is left as malloc
// gave it, because filling it would be measured as transport.
Message MakeMessage(uint64_t id, size_t bytes) {
  Buffer buffer(9 + bytes);
  buffer.data()[0] = 0x09;
  std::memcpy(buffer.data() + 1, &id, sizeof id);
  Message message;
  message.push_back(std::move(buffer));
  return message;
}

double CpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) +
           1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Keeps `in_flight` requests going until told to stop: each answer sends the
// next request, on the channel's thread.
class Pump {
 public:
  Pump(DataChannel& channel, size_t bytes) : channel_(channel), bytes_(bytes) {}

  void Start(int in_flight) {
    {
      MutexLock lock(mu_);
      running_ = in_flight;
    }
    for (int i = 0; i < in_flight; ++i) SendOne();
  }
  int64_t answered() const { return answered_.load(std::memory_order_relaxed); }
  void Stop() {
    stop_.store(true, std::memory_order_relaxed);
    MutexLock lock(mu_);
    while (running_ > 0) idle_.Wait(mu_);
  }

 private:
  void SendOne() {
    const uint64_t id = channel_.NextId();
    channel_.Send(id, MakeMessage(id, bytes_), absl::Seconds(30),
                  [this](absl::StatusOr<Rope> reply) {
                    PARAMO_CHECK(reply.ok());
                    answered_.fetch_add(1, std::memory_order_relaxed);
                    if (!stop_.load(std::memory_order_relaxed))
                      return SendOne();
                    MutexLock lock(mu_);
                    if (--running_ == 0) idle_.NotifyAll();
                  });
  }

  DataChannel& channel_;
  const size_t bytes_;
  std::atomic<int64_t> answered_{0};  // relaxed: a statistic
  std::atomic<bool> stop_{false};
  Mutex mu_;
  CondVar idle_;
  int running_ ABSL_GUARDED_BY(mu_) = 0;
};

void Run(const Case& c, absl::Duration duration, int server_threads) {
  const bool big_request = c.direction != Direction::kPull;
  const bool big_reply = c.direction != Direction::kPush;
  const wire::Hello hello;
  DataServer::Options server_options;
  server_options.listen = {"127.0.0.1:0"};
  server_options.threads = server_threads;
  server_options.handler = [&](std::unique_ptr<IncomingCall> call) {
    const uint64_t id = wire::PeekId(call->request());
    call->Reply(call->first() ? wire::WriteReply(id, 0, wire::Reason::kNone, 0,
                                                 "", &hello)
                              : MakeMessage(id, big_reply ? c.bytes : 0));
  };
  auto server = DataServer::Start(std::move(server_options));
  PARAMO_CHECK(server.ok());

  ClientExecutor executor(1);
  DataChannel::Options options;
  options.address = absl::StrCat("127.0.0.1:", (*server)->port());
  options.hello = [&] { return wire::WriteHelloRequest(1, hello); };
  options.check_hello = [](const Rope&) { return absl::OkStatus(); };
  DataChannel channel(executor, std::move(options));

  Pump pump(channel, big_request ? c.bytes : 0);
  pump.Start(c.in_flight);
  absl::SleepFor(duration / 5);  // windows open, memory is there
  const int64_t answered = pump.answered();
  const double cpu = CpuSeconds();
  const absl::Time start = absl::Now();
  absl::SleepFor(duration);
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
  const double n = static_cast<double>(pump.answered() - answered);
  const double cpu_used = CpuSeconds() - cpu;
  pump.Stop();

  const double gigabytes = n * static_cast<double>(c.bytes) / 1e9;
  std::printf("%-5s %9zu %9d %11.0f %8.2f %10.1f %10.2f\n", c.name, c.bytes,
              c.in_flight, n / seconds, gigabytes / seconds, cpu_used / n * 1e6,
              cpu_used / gigabytes);
  std::fflush(stdout);
}

}  // namespace
}  // namespace paramo

int main(int argc, char** argv) {
  double seconds = 1;
  int server_threads = 1;
  bool tuned = true;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg == "--seconds" && i + 1 < argc) {
      seconds = std::atof(argv[++i]);
    } else if (arg == "--server-threads" && i + 1 < argc) {
      server_threads = std::atoi(argv[++i]);
    } else if (arg == "--untuned") {
      tuned = false;
    } else {
      std::fprintf(stderr,
                   "usage: transport_bench [--seconds S] [--untuned] "
                   "[--server-threads N]\n");
      return 2;
    }
  }
  if (seconds <= 0 || server_threads <= 0) return 2;
  if (tuned) paramo::TuneProcess();
  std::printf("%-5s %9s %9s %11s %8s %10s %10s\n", "", "bytes", "in flight",
              "messages/s", "GB/s", "us CPU/msg", "CPU s/GB");
  for (const paramo::Case& c : paramo::kCases)
    paramo::Run(c, absl::Seconds(seconds), server_threads);
}
