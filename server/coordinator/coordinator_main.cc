// paramo-coordinator: the process. Options in, signals out.
#include <unistd.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/build.h"
#include "common/base/cpu.h"
#include "common/base/daemon.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/parent_watch.h"
#include "common/base/status.h"
#include "common/config/config.h"
#include "common/transport/insecure.h"
#include "common/transport/tune.h"
#include "server/coordinator/coordinator.h"
#include "server/rule/rule.h"

namespace paramo {
namespace {

// A stop that takes longer is stuck; the parent is gone, so nobody else ends
// it.
constexpr absl::Duration kStopGrace = absl::Seconds(10);

struct Flags {
  CoordinatorOptions coordinator;
  std::string store = "embedded";
  std::string ready_file;
  std::string log_level = "info";
  int parent_fd = -1;
};

std::optional<int> ParseFlags(int argc, char** argv, Flags& flags) {
  CoordinatorOptions& options = flags.coordinator;
  Config config("paramo-coordinator",
                "knows servers, shards, tables and jobs; never parameters");
  config.Address("listen", options.listen, "serve here; port 0 = any");
  config
      .Text("advertise", options.advertise,
            "tell others this address instead of the one listened on")
      .Unit("HOST:PORT");
  config
      .Text("store", flags.store,
            "where the cluster's state is: `embedded`, in the data directory; "
            "or in etcd, for more than one coordinator")
      .Unit("embedded|etcd://HOST:PORT,...");
  config.Text("data-dir", options.data_dir, "of the embedded store")
      .Unit("DIR");
  config.Text("cluster-name", options.cluster_name,
              "in etcd, keys lie below /paramo/NAME/");
  config.Duration("leader-lease", options.leader_lease,
                  {absl::Seconds(2), absl::Seconds(60)},
                  "with etcd, a leader that is silent so long is replaced");
  config.Duration("etcd-history", options.etcd_history, {},
                  "compact what etcd remembers beyond this; 0s = do not, it is "
                  "done by others");
  DeclareEtcdSecurity(config, options.etcd_security);
  config.Int("servers", options.servers_expected,
             {1, static_cast<int64_t>(kServersMax)},
             "place the shards once so many servers are up; later ones get "
             "theirs by and by");
  config.Int("replicas", options.replicas, {0, 7},
             "replicas of every shard, on servers of their own; 0 = 2, or 1 "
             "with --servers 1");
  config.Duration("balance-after", options.balance_after,
                  {absl::ZeroDuration(), absl::Hours(24)},
                  "spread replicas and primaries evenly again, one by one, "
                  "once every shard has had all its replicas for so long; "
                  "0s = never");
  config.Int("shards", options.shards, {0, kShardsMax},
             "of a new cluster, a power of two; 0 = 64, or as stored");
  config
      .Text("metrics-listen", options.metrics_listen,
            "serve Prometheus text here; empty = not at all")
      .Unit("HOST:PORT");
  config.Int("connections-per-peer", options.connections_per_peer_max,
             {1, static_cast<int64_t>(kConnectionsMax)},
             "connections that one address may have open");
  config
      .Text("tcp-congestion", options.tcp_congestion,
            "congestion control, as the kernel calls it; empty = its default")
      .Unit("NAME");
  config.Switch("insecure-listen", options.insecure_listen,
                "allow addresses that other machines reach, without "
                "encryption or passwords");
  config.Switch("reflection", options.reflection,
                "describe the services to tools such as grpcurl");
  config.Choice("log-level", flags.log_level,
                {"debug", "info", "warning", "error"}, "lines to write");
  config
      .Text("ready-file", flags.ready_file,
            "write the addresses here once serving")
      .FlagOnly()
      .Unit("FILE");
  config
      .Int("parent-fd", flags.parent_fd, {-1, 1 << 20},
           "stop when this pipe ends")
      .FlagOnly()
      .Hidden();
  config.Check([&flags]() -> absl::Status {
    PARAMO_RETURN_IF_ERROR(ParseStore(flags.store, flags.coordinator.etcd));
    if (flags.coordinator.advertise.empty()) return absl::OkStatus();
    return ParseHostPort(flags.coordinator.advertise).status();
  });
  config.Example("paramo-coordinator --data-dir /var/lib/paramo --servers 3");
  config.Example("paramo-coordinator --store etcd://e1:2379,e2:2379,e3:2379");
  config.Example("paramo-coordinator --data-dir /tmp/c --listen 127.0.0.1:0");
  return config.ParseMain(argc, argv);
}

// The coordinator itself knows no rules; this asks the ones of this build.
absl::StatusOr<CheckedRule> CheckRule(
    absl::string_view name, const std::map<std::string, double>& params) {
  absl::StatusOr<std::unique_ptr<Rule>> rule = MakeRule(name, params);
  if (!rule.ok()) return rule.status();
  CheckedRule checked;
  checked.slots = (*rule)->info().SlotsText();
  for (const RuleParam& param : (*rule)->info().params) {
    auto given = params.find(param.name);
    checked.params[param.name] =
        given == params.end() ? param.default_value : given->second;
  }
  return checked;
}

absl::Status Announce(const Coordinator& coordinator,
                      const std::string& ready_file) {
  std::string text = absl::StrCat("listening on ", coordinator.address(), "\n");
  if (!coordinator.metrics_address().empty()) {
    absl::StrAppend(&text, "metrics on ", coordinator.metrics_address(), "\n");
  }
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
  if (ready_file.empty()) return absl::OkStatus();
  return WriteReadyFile(ready_file,
                        {{"address", coordinator.address()},
                         {"metrics", coordinator.metrics_address()}});
}

int Run(int argc, char** argv) {
  Flags flags;
  if (std::optional<int> exit = ParseFlags(argc, argv, flags)) return *exit;
  LogLevel level = LogLevel::kInfo;
  ParseLogLevel(flags.log_level, level);
  SetLog(level, "coordinator");
  if (absl::Status cpu = CheckCpu(); !cpu.ok()) {
    LogError("%s", cpu.message());
    return kExitFailure;
  }

  StopSignal stop;
  ParentWatch parent(flags.parent_fd, kStopGrace, [&stop] { stop.Request(); });
  InsecureWarning warning(
      {flags.coordinator.listen, flags.coordinator.metrics_listen});

  flags.coordinator.rule_check = CheckRule;
  flags.coordinator.on_failed = [&stop](const absl::Status& why) {
    stop.Request(why);
  };
  auto coordinator = Coordinator::Start(flags.coordinator);
  absl::Status status = coordinator.status();
  if (status.ok()) status = Announce(**coordinator, flags.ready_file);
  if (!status.ok()) {
    LogError("cannot start: %s", ToString(status));
    return kExitFailure;
  }
  LogInfo("%s serves on %s", kBuild, (*coordinator)->address());
  absl::Status why = stop.Wait();
  LogInfo("stopping");
  coordinator->reset();
  if (!flags.ready_file.empty()) ::unlink(flags.ready_file.c_str());
  return why.ok() ? kExitOk : kExitFailure;
}

}  // namespace
}  // namespace paramo

int main(int argc, char** argv) {
  paramo::TuneProcess();
  return paramo::Run(argc, argv);
}
