// `paramo shard unsafe-promote`: a shard goes on from what is left of it.
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/describe.h"
#include "client/cli/shard.h"
#include "client/core/control.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "paramo/v1/admin.pb.h"
#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/control.pb.h"

namespace paramo::cli {
namespace {

constexpr char kSessionsEnd[] =
    "every session that was open is over: clients must connect again, workers "
    "join again";

// What the servers say that they have of a shard.
struct Copies {
  std::map<uint32_t, v1::ShardStats> by_server;
  std::vector<std::string> silent;  // servers that say nothing
};

Copies AskForCopies(client::Control& control, const ClusterFlags& flags,
                    const v1::ClusterState& state, uint32_t shard) {
  Copies copies;
  for (const v1::Server& server : state.servers()) {
    auto stats =
        server.status() == v1::SERVER_STATUS_UP
            ? control.Stats(server.address(), flags.timeout, true)
            : client::Answer<v1::StatsReply>(absl::UnavailableError("down"));
    if (!stats.ok()) {
      copies.silent.push_back(absl::StrCat("server ", server.id()));
      continue;
    }
    for (const v1::ShardStats& copy : (*stats)->shards()) {
      if (copy.shard() == shard) copies.by_server[server.id()] = copy;
    }
  }
  return copies;
}

std::string CopyText(const v1::ShardStats& copy) {
  return absl::StrCat("records up to ", copy.last_lsn(), " of epoch ",
                      copy.last_epoch(), ", ", Thousands(copy.rows()), " rows");
}

// What is taken: "from server 2: records up to 7 of epoch 3, 12 rows".
std::string BaseText(const Copies& copies, uint32_t server) {
  if (server == 0) return "empty";
  const auto copy = copies.by_server.find(server);
  return absl::StrCat(
      "from server ", server, ": ",
      copy == copies.by_server.end() ? "nothing" : CopyText(copy->second));
}

// Everything that is known of what would be lost.
absl::Status NeedsConsent(const v1::ClusterState& state, const Copies& copies,
                          uint32_t shard, uint32_t server) {
  if (!IsOffline(state, state.shards(static_cast<int>(shard)))) {
    return absl::FailedPreconditionError(
        absl::StrCat("a replica in sync of shard ", shard,
                     " is up, so it is served or will "
                     "be; `paramo shard describe ",
                     shard, "` says where"));
  }
  std::string text = absl::StrCat("shard ", shard, " would go on ",
                                  BaseText(copies, server), ". ");
  for (const auto& [id, copy] : copies.by_server) {
    if (id == server) continue;
    absl::StrAppend(&text, "Server ", id, " (", copy.role(), ") has ",
                    CopyText(copy), ". ");
  }
  if (!copies.silent.empty()) {
    absl::StrAppend(&text, "What ", absl::StrJoin(copies.silent, ", "),
                    " had is not known. ");
  }
  return absl::FailedPreconditionError(absl::StrCat(
      text, "Whatever else was acknowledged is lost for good, and ",
      kSessionsEnd, ". To accept that, say it again with --yes-lose-data"));
}

}  // namespace

int RunShardUnsafePromote(const Args& args) {
  ClusterFlags flags;
  ShardArgument which;
  uint32_t server = 0;
  bool empty = false;
  bool consent = false;
  Config config("paramo shard unsafe-promote",
                "lets a lost shard go on with what is left of it");
  which.AddTo(config);
  config.Int("server", server, {0, kServersMax}, "go on from what this one has")
      .FlagOnly()
      .Unit("SERVER");
  config.Switch("empty", empty, "begin without any data").FlagOnly();
  config
      .Switch("yes-lose-data", consent,
              "accept that acknowledged pushes are lost")
      .FlagOnly();
  flags.AddTo(config);
  config.Check([&]() -> absl::Status {
    if (empty != (server != 0)) return absl::OkStatus();
    return absl::InvalidArgumentError(
        "say from which server with --server SERVER, or --empty");
  });
  config.Example("paramo shard unsafe-promote 17 --server 2");
  config.Example("paramo shard unsafe-promote 17 --empty --yes-lose-data");
  if (auto status = config.ParseMain(args)) return *status;
  client::Control control(flags.address);
  auto state = control.State(flags.timeout);
  if (!state.ok()) return Fail(state.status());
  if (which.shard >= (*state)->shard_count()) {
    return Fail(NoSuchShard(**state, which.shard));
  }
  const Copies copies = AskForCopies(control, flags, **state, which.shard);
  if (!consent) return Fail(NeedsConsent(**state, copies, which.shard, server));
  auto promoted = control.UnsafePromote(which.shard, server, flags.timeout);
  if (!promoted.ok()) return Fail(promoted.status());
  if (flags.json()) return ShowShard(flags, control, which.shard);
  const v1::Shard& shard = (*promoted)->shard();
  Print(absl::StrCat(
      "shard ", shard.id(), " goes on ", BaseText(copies, server), ". Server ",
      shard.primary(), " leads it in epoch ", shard.epoch(), ", history ",
      absl::Hex(shard.history(), absl::kZeroPad16), "; ", kSessionsEnd, "\n"));
  return kExitOk;
}

}  // namespace paramo::cli
