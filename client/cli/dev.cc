// `paramo dev`: a cluster until Ctrl-C.
#include <signal.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/interrupt.h"
#include "client/cli/local_cluster.h"
#include "common/base/limits.h"
#include "common/base/parent_watch.h"
#include "common/base/status.h"

namespace paramo::cli {
namespace {

// How often the children are looked at.
constexpr absl::Duration kCheckEvery = absl::Milliseconds(200);

// Longer than the processes take to stop, or to be killed.
constexpr absl::Duration kParentGrace = absl::Seconds(25);

struct DevOptions {
  LocalClusterOptions cluster;
  std::string output = "table";
  int parent_fd = -1;
};

std::string Announce(const DevOptions& options, const LocalCluster& cluster) {
  if (options.output == "json") {
    return absl::StrCat("{\"address\": ", JsonString(cluster.address()),
                        ", \"processes\": ", cluster.Processes().Json(), "}\n");
  }
  return absl::StrCat(
      cluster.Processes().Table(), "\nThe cluster is up. In another shell:\n\n",
      "  export PARAMO_ADDRESS=", cluster.address(), "\n  paramo status\n\n",
      options.cluster.dir.empty()
          ? "Ctrl-C stops it and removes its data (--dir keeps it).\n"
          : "Ctrl-C stops it; its data stays.\n");
}

absl::Status Dev(const DevOptions& options) {
  Interrupt interrupt;
  const ParentWatch parent(options.parent_fd, kParentGrace,
                           [] { ::kill(::getpid(), SIGTERM); });
  PARAMO_ASSIGN_OR_RETURN(auto workplace, Workplace::Make());
  auto cluster = LocalCluster::Start(options.cluster, *workplace, interrupt);
  if (absl::IsCancelled(cluster.status())) return absl::OkStatus();
  PARAMO_RETURN_IF_ERROR(cluster.status());
  Print(Announce(options, **cluster));
  while (!interrupt.Wait(kCheckEvery)) {
    // A program that started us may end servers on purpose.
    if (options.parent_fd >= 0) continue;
    PARAMO_RETURN_IF_ERROR((*cluster)->CheckAlive());
  }
  if (options.output == "table") Print("\nstopping\n");
  return absl::OkStatus();
}

}  // namespace

int RunDev(const Args& args) {
  DevOptions options;
  Config config("paramo dev", "a whole cluster on this machine, until Ctrl-C");
  config.Int("servers", options.cluster.servers, {1, 64}, "server processes");
  config.Int("replicas", options.cluster.replicas, {0, 7},
             "replicas of every shard; 0: two, or one on one server");
  config.Int("shards", options.cluster.shards, {1, kShardsMax},
             "shards, a power of two; fixed for the cluster's life");
  config.Text("dir", options.cluster.dir, "keep data and logs in this folder")
      .Unit("DIR");
  config.Choice("log-level", options.cluster.log_level,
                {"debug", "info", "warning", "error"}, "of the processes");
  config
      .Int("parent-fd", options.parent_fd, {-1, 1 << 20},
           "stop when this pipe closes")
      .FlagOnly()
      .Hidden();
  AddOutput(config, options.output);
  config.Check([&] { return options.cluster.Check(); });
  config.Example("paramo dev");
  config.Example("paramo dev --servers 5 --dir /tmp/my-cluster");
  if (auto status = config.ParseMain(args)) return *status;
  const absl::Status status = Dev(options);
  return status.ok() ? kExitOk : Fail(status);
}

}  // namespace paramo::cli
