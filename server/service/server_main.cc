// paramo-server: holds shards of parameters, serves pulls and pushes.
#include <cstdio>
#include <memory>

#include "common/base/cpu.h"
#include "common/base/daemon.h"
#include "common/base/log.h"
#include "common/base/parent_watch.h"
#include "common/base/status.h"
#include "common/config/config.h"
#include "common/config/value.h"
#include "common/transport/address.h"
#include "common/transport/insecure.h"
#include "common/transport/tune.h"
#include "server/service/server.h"

namespace paramo {
namespace {

struct Options {
  ServerOptions server;
  std::string ready_file;
  std::string log_level = "info";
  std::string shm = "on";
  bool insecure_listen = false;
  int parent_fd = -1;
};

void Declare(Config& config, Options& options) {
  ServerOptions& server = options.server;
  config.Addresses("coordinator", server.coordinators,
                   "where the coordinator is (required)");
  config.Text("data-dir", server.data_dir, "rows and identity (required)")
      .Unit("DIR");
  config.Address("listen", server.listen,
                 "serve here; port 0 takes a free one");
  config
      .Text("advertise", server.advertise,
            "tell others this address instead of the one listened on")
      .Unit("HOST:PORT");
  config.Address("metrics-listen", server.metrics_listen,
                 "Prometheus page here");
  config.Int("threads", server.threads, {1, 256},
             "threads that read requests and run shards");
  config.Size("held-bytes", server.held_bytes_max, {1 << 20},
              "requests in memory at most; beyond it they are refused");
  config.Size("reply-bytes", server.reply_bytes_max, {1 << 20},
              "replies in memory at most, those of waiting pulls above all");
  config.Size("receive-bytes", server.receive_bytes_max,
              {2 * static_cast<int64_t>(kMessageBytesMax)},
              "messages that are arriving at most; beyond it gRPC ends calls");
  config.Size("log-buffer-bytes", server.log_buffer_bytes,
              {static_cast<int64_t>(kMessageBytesMax),
               static_cast<int64_t>(kLogBufferBytesMax)},
              "records at most that wait for the disk");
  config.Int("connections-per-peer", server.connections_per_peer_max,
             {1, static_cast<int64_t>(kConnectionsMax)},
             "connections that one address may have open");
  config.Choice("shm", options.shm, {"on", "off"},
                "shared memory with clients of this user on this machine");
  config
      .Text("tcp-congestion", server.tcp_congestion,
            "congestion control, as the kernel calls it; empty = its default")
      .Unit("NAME");
  config.Size("flush-log-bytes", server.flush_log_bytes, {1},
              "log to replay after a crash; beyond it rows are written to the "
              "store all the time");
  config.Duration("flush-interval", server.flush_interval, {},
                  "longest time that a dirty row waits for the store");
  config.Duration("register-timeout", server.register_timeout, {},
                  "how long to look for the coordinator at the start");
  config.Switch("keep-log", server.keep_log,
                "never cut the log: whole histories, for proofs");
  config.Switch("reflection", server.reflection, "serve gRPC reflection");
  config.Switch("insecure-listen", options.insecure_listen,
                "allow addresses that other machines can reach (no TLS yet)");
  config.Choice("log-level", options.log_level,
                {"debug", "info", "warning", "error"}, "lines to write");
  config
      .Text("ready-file", options.ready_file,
            "write address= and metrics= here when ready")
      .Unit("FILE");
  config
      .Int("parent-fd", options.parent_fd, {-1, 1 << 20},
           "stop when this pipe ends")
      .FlagOnly()
      .Hidden();
  config.Check([&options]() -> absl::Status {
    if (options.server.data_dir.empty()) {
      return absl::InvalidArgumentError(
          "--data-dir is required, for example --data-dir /var/lib/paramo");
    }
    if (options.server.coordinators.empty()) {
      return absl::InvalidArgumentError(
          "--coordinator is required, for example --coordinator "
          "127.0.0.1:7700");
    }
    PARAMO_RETURN_IF_ERROR(
        CheckListen(options.server.listen, options.insecure_listen));
    return CheckListen(options.server.metrics_listen, options.insecure_listen);
  });
  config.Example(
      "paramo-server --coordinator 127.0.0.1:7700 --data-dir /tmp/server-1");
}

int Main(int argc, char** argv) {
  Options options;
  Config config("paramo-server",
                "holds shards of parameters; serves pulls and pushes");
  Declare(config, options);
  if (auto exit_status = config.ParseMain(argc, argv)) return *exit_status;
  if (absl::Status cpu = CheckCpu(); !cpu.ok()) {
    std::fprintf(stderr, "paramo-server: %s\n", ToString(cpu).c_str());
    return kExitFailure;
  }
  LogLevel level = LogLevel::kInfo;
  ParseLogLevel(options.log_level, level);
  SetLog(level, "server");
  TuneProcess();
  options.server.shm = options.shm == "on";

  StopSignal stop;
  ParentWatch parent(options.parent_fd, absl::Seconds(30),
                     [&stop] { stop.Request(); });
  InsecureWarning warning(
      {options.server.listen, options.server.metrics_listen});
  auto server = Server::Start(options.server, [&stop](absl::Status why) {
    stop.Request(std::move(why));
  });
  if (!server.ok()) {
    LogError("cannot start: %s", ToString(server.status()));
    return kExitFailure;
  }
  LogInfo("serving on %s, metrics on %s, data in %s", (*server)->address(),
          (*server)->metrics_address(), options.server.data_dir);
  std::printf("listening on %s\n", (*server)->address().c_str());
  std::fflush(stdout);
  if (!options.ready_file.empty()) {
    (*server)->WaitUntilReady(options.server.register_timeout);
    absl::Status ready = WriteReadyFile(
        options.ready_file, {{"address", (*server)->address()},
                             {"metrics", (*server)->metrics_address()}});
    if (!ready.ok()) stop.Request(ready);
  }

  absl::Status why = stop.Wait();
  if (!why.ok()) LogError("%s", ToString(why));
  LogInfo("stopping");
  absl::Status stopped = (*server)->Stop();
  if (!stopped.ok()) LogError("%s", ToString(stopped));
  return why.ok() && stopped.ok() ? kExitOk : kExitFailure;
}

}  // namespace
}  // namespace paramo

int main(int argc, char** argv) { return paramo::Main(argc, argv); }
