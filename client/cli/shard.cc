// `paramo shard ...`: who holds what.
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/commands.h"
#include "client/cli/describe.h"
#include "client/cli/shard.h"
#include "client/core/control.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/config/value.h"
#include "paramo/v1/cluster.pb.h"

namespace paramo::cli {
namespace {

using Replicas = google::protobuf::RepeatedPtrField<v1::Replica>;

std::string ReplicasText(const Replicas& replicas) {
  if (replicas.empty()) return "none";
  return absl::StrJoin(replicas, " ",
                       [](std::string* out, const v1::Replica& replica) {
                         absl::StrAppend(out, replica.server());
                       });
}

std::string ShardState(const v1::ClusterState& state, const v1::Shard& shard) {
  if (IsOffline(state, shard)) return "offline";
  if (shard.fencing()) return "fencing";
  if (shard.primary() == 0) return "not placed";
  if (shard.in_sync_size() < static_cast<int>(shard.min_insync())) {
    return "pulls only";
  }
  return "serving";
}

Records ShardRecords(const v1::ClusterState& state, int only) {
  Records records({"shard", "state", "primary", "in_sync", "learners", "epoch",
                   "term", "history"});
  for (const v1::Shard& shard : state.shards()) {
    if (only >= 0 && static_cast<int>(shard.id()) != only) continue;
    records.Add({shard.id(), ShardState(state, shard), shard.primary(),
                 ReplicasText(shard.in_sync()), ReplicasText(shard.learners()),
                 shard.epoch(), shard.term(),
                 absl::StrCat(absl::Hex(shard.history(), absl::kZeroPad16))});
  }
  return records;
}

}  // namespace

void ShardArgument::AddTo(Config& config) {
  config.Positional("shard", text, "the shard's number");
  config.Check([this] {
    auto number = ParseInt(text, {0, kShardsMax - 1});
    if (number.ok()) shard = static_cast<uint32_t>(*number);
    return number.status();
  });
}

absl::Status NoSuchShard(const v1::ClusterState& state, uint32_t shard) {
  return absl::NotFoundError(absl::StrCat("there is no shard ", shard,
                                          "; the cluster has ",
                                          state.shard_count(), ", from 0 on"));
}

int ShowShard(const ClusterFlags& flags, client::Control& control,
              uint32_t shard) {
  auto state = control.State(flags.timeout);
  if (!state.ok()) return Fail(state.status());
  const Records records = ShardRecords(**state, static_cast<int>(shard));
  if (records.empty()) return Fail(NoSuchShard(**state, shard));
  const int shown = ShowRecords(flags, records);
  if (!flags.json()) {
    Print(OfflineText(**state, (*state)->shards(static_cast<int>(shard))));
  }
  return shown;
}

int RunShardList(const Args& args) {
  ClusterFlags flags;
  Config config("paramo shard list", "every shard: primary, replicas, state");
  flags.AddTo(config);
  config.Example("paramo shard list --output json");
  if (auto status = config.ParseMain(args)) return *status;
  client::Control control(flags.address);
  auto state = control.State(flags.timeout);
  if (!state.ok()) return Fail(state.status());
  return ShowRecords(flags, ShardRecords(**state, /*only=*/-1));
}

int RunShardDescribe(const Args& args) {
  ClusterFlags flags;
  ShardArgument which;
  Config config("paramo shard describe", "one shard and its replicas");
  which.AddTo(config);
  flags.AddTo(config);
  config.Example("paramo shard describe 17");
  if (auto status = config.ParseMain(args)) return *status;
  client::Control control(flags.address);
  return ShowShard(flags, control, which.shard);
}

int RunShardTransfer(const Args& args) {
  ClusterFlags flags;
  ShardArgument which;
  uint32_t to = 0;
  Config config("paramo shard transfer",
                "lets another in-sync replica of a shard lead it");
  which.AddTo(config);
  config.Int("to", to, {0, kServersMax}, "the server that has the replica")
      .FlagOnly()
      .Unit("SERVER");
  flags.AddTo(config);
  config.Check([&]() -> absl::Status {
    if (to != 0) return absl::OkStatus();
    return absl::InvalidArgumentError("say which server with --to SERVER");
  });
  config.Example("paramo shard transfer 17 --to 2");
  if (auto status = config.ParseMain(args)) return *status;
  client::Control control(flags.address);
  const absl::Status moved =
      control.TransferShard(which.shard, to, flags.timeout);
  if (!moved.ok()) return Fail(moved);
  return ShowShard(flags, control, which.shard);
}

}  // namespace paramo::cli
