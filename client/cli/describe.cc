#include "client/cli/describe.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/gradient_spec.h"
#include "common/codec/codec.h"
#include "common/config/value.h"
#include "paramo/job.h"
#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/control.pb.h"

namespace paramo::cli {
namespace {

// "JOB_PHASE_RUNNING" -> "running".
std::string Lower(absl::string_view name, absl::string_view prefix) {
  if (absl::StartsWith(name, prefix)) name.remove_prefix(prefix.size());
  return absl::AsciiStrToLower(name);
}

std::string ShapeText(const v1::TableSpec& spec) {
  if (!spec.has_tensor()) return "sparse";
  return absl::StrCat("[", absl::StrJoin(spec.tensor().shape(), ", "), "]");
}

}  // namespace

std::string RuleText(const v1::UpdateRule& rule) {
  // Sorted: a protobuf map has no order.
  std::map<std::string, double> params(rule.params().begin(),
                                       rule.params().end());
  std::string out = rule.name();
  for (const auto& param : params) {
    absl::StrAppend(&out, " ", param.first, "=", param.second);
  }
  return out;
}

std::string InitializerText(const v1::Initializer& initializer) {
  const std::string kind =
      absl::AsciiStrToLower(v1::Initializer::Kind_Name(initializer.kind()));
  switch (initializer.kind()) {
    case v1::Initializer::CONSTANT:
    case v1::Initializer::UNIFORM:
    case v1::Initializer::NORMAL:
      return absl::StrCat(kind, ":", initializer.a());
    case v1::Initializer::XAVIER:
      return absl::StrCat(kind, ":", initializer.fan_in(), ",",
                          initializer.fan_out());
    default:
      return kind;
  }
}

std::string SyncText(const v1::Sync& sync) {
  Sync policy(static_cast<Sync::Kind>(static_cast<int>(sync.kind())));
  policy.staleness = sync.staleness();
  policy.backup_workers = sync.backup_workers();
  policy.quorum = sync.quorum();
  policy.deadline = std::chrono::milliseconds(sync.deadline_ms());
  return policy.ToString();
}

std::string PhaseText(int phase) {
  return Lower(v1::JobPhase_Name(static_cast<v1::JobPhase>(phase)),
               "JOB_PHASE_");
}

// What became of the servers that have, or had, all of a shard.
struct Holders {
  std::vector<uint32_t> up;
  std::vector<uint32_t> down;
  // Up, as another incarnation: what they have now may lack something.
  std::vector<uint32_t> without;
};

static Holders HoldersOf(const v1::ClusterState& state,
                         const v1::Shard& shard) {
  Holders holders;
  for (const v1::Replica& replica : shard.in_sync()) {
    for (const v1::Server& server : state.servers()) {
      if (server.id() != replica.server()) continue;
      const bool same = server.incarnation() == replica.incarnation();
      (server.status() != v1::SERVER_STATUS_UP ? holders.down
       : same                                  ? holders.up
                                               : holders.without)
          .push_back(server.id());
    }
  }
  return holders;
}

bool IsOffline(const v1::ClusterState& state, const v1::Shard& shard) {
  return shard.in_sync_size() > 0 && HoldersOf(state, shard).up.empty();
}

std::string OfflineText(const v1::ClusterState& state, const v1::Shard& shard) {
  if (!IsOffline(state, shard)) return "";
  const Holders holders = HoldersOf(state, shard);
  std::string text = absl::StrCat("No server that has all of shard ",
                                  shard.id(), " is up, so it is not served.\n");
  if (!holders.without.empty()) {
    absl::StrAppend(
        &text,
        "Came back without all of it (lost or damaged files are told "
        "in the server's log, which says where they are kept): ",
        absl::StrJoin(holders.without, ", "), ".\n");
  }
  if (!holders.down.empty()) {
    absl::StrAppend(&text, "Start again, they may have it: ",
                    absl::StrJoin(holders.down, ", "), ".\n");
  } else {
    absl::StrAppend(&text, "It waits for ever: nobody is left who has it.\n");
  }
  absl::StrAppend(
      &text,
      "Otherwise stop such a server and restore its data directory from "
      "a copy, or accept that something is lost:\n"
      "  paramo shard unsafe-promote ",
      shard.id(),
      " --server SERVER    go on with what that one has\n"
      "  paramo shard unsafe-promote ",
      shard.id(),
      " --empty            begin without any data\n"
      "Both say first what would be lost.\n");
  return text;
}

std::string LostShardsText(const v1::ClusterState& state) {
  std::vector<uint32_t> lost;
  for (const v1::Shard& shard : state.shards()) {
    if (IsOffline(state, shard) && HoldersOf(state, shard).down.empty()) {
      lost.push_back(shard.id());
    }
  }
  if (lost.empty()) return "";
  return absl::StrCat(
      "All servers that had all of these shards came back without it, and they "
      "wait for ever: ",
      absl::StrJoin(lost, ", "), ".\n`paramo shard describe ", lost[0],
      "` says the way out.\n");
}

static std::string ServerState(const v1::Server& server) {
  if (server.out_of_reach()) return "out of reach";
  return Lower(v1::ServerStatus_Name(server.status()), "SERVER_STATUS_");
}

Records ServerRecords(const v1::ClusterState& state) {
  std::map<uint32_t, uint32_t> led, held;
  for (const v1::Shard& shard : state.shards()) {
    ++led[shard.primary()];
    for (const v1::Replica& replica : shard.in_sync()) {
      ++held[replica.server()];
    }
  }
  Records records({"server", "address", "status", "drained", "shards",
                   "replicas", "damaged", "metrics", "build"});
  for (const v1::Server& server : state.servers()) {
    records.Add({server.id(), server.address(), ServerState(server),
                 server.drained(), led[server.id()], held[server.id()],
                 server.damaged_shards_size(), server.metrics_address(),
                 server.build()});
  }
  return records;
}

Records EmptyTableRecords() {
  return Records({"table", "id", "version", "dim", "shape", "rule",
                  "initializer", "gradients", "durability", "codec",
                  "memory_budget"});
}

// As --durability takes it.
static const char* DurabilityText(v1::Durability durability) {
  switch (durability) {
    case v1::DURABILITY_REPLICATED:
      return "replicated";
    case v1::DURABILITY_SYNCED:
      return "synced";
    default:
      return "logged";
  }
}

// As --codec takes it; the number of one that this build does not have.
static std::string CodecText(uint32_t id) {
  const auto codec = FindCodec(id);
  return codec.ok() ? (*codec)->name : absl::StrCat(id);
}

void AddTable(const v1::Table& table, Records& records) {
  const v1::TableSpec& spec = table.spec();
  records.Add({spec.name(), table.id(), table.version(), spec.dim(),
               ShapeText(spec), RuleText(spec.rule()),
               InitializerText(spec.initializer()), GradientText(spec),
               DurabilityText(spec.durability()), CodecText(spec.codec()),
               spec.memory_budget() == 0
                   ? "none"
                   : FormatSize(static_cast<int64_t>(spec.memory_budget()))});
}

Records TableRecords(const v1::ClusterState& state) {
  Records records = EmptyTableRecords();
  for (const v1::Table& table : state.tables()) AddTable(table, records);
  return records;
}

Records JobRecords(const v1::ListJobsReply& jobs) {
  Records records({"job", "phase", "sync", "workers", "live", "deaths",
                   "data_shards", "finished", "examples", "metric_name",
                   "metric"});
  for (const v1::JobReport& job : jobs.jobs()) {
    uint32_t live = 0;
    for (const v1::WorkerReport& worker : job.workers()) live += worker.live();
    records.Add({job.spec().name(), PhaseText(job.state().phase()),
                 SyncText(job.spec().sync()), job.spec().workers(), live,
                 job.deaths(), job.data_shards(), job.data_shards_finished(),
                 job.examples(), job.metric_name(), job.metric()});
  }
  return records;
}

Records WorkerRecords(const v1::JobReport& job) {
  Records records({"worker", "host", "pid", "state", "clock", "examples",
                   "loss", "step_ms_p50", "step_ms_p99", "input_ms", "pull_ms",
                   "compute_ms", "push_ms", "wait_ms", "silent_ms"});
  for (const v1::WorkerReport& worker : job.workers()) {
    const v1::WorkerProgress& progress = worker.progress();
    records.Add({worker.worker(), worker.host(), worker.pid(),
                 worker.live() ? "live" : worker.left_because(),
                 progress.clock(), progress.examples(), progress.loss(),
                 progress.step_ms_p50(), progress.step_ms_p99(),
                 progress.input_ms(), progress.pull_ms(), progress.compute_ms(),
                 progress.push_ms(), progress.wait_ms(), worker.silent_ms()});
  }
  return records;
}

namespace {

// What a worker spends its own time on.
double OwnMs(const v1::WorkerProgress& progress) {
  return progress.input_ms() + progress.compute_ms();
}

std::string LargestPart(const v1::WorkerProgress& progress) {
  const std::pair<double, const char*> parts[] = {
      {progress.input_ms(), "reading its data"},
      {progress.pull_ms(), "waiting for parameters"},
      {progress.compute_ms(), "computing"},
      {progress.push_ms(), "waiting for pushes to be answered"},
      {progress.wait_ms(), "waiting for other workers"}};
  return std::max_element(std::begin(parts), std::end(parts))->second;
}

}  // namespace

// A worker counts as slow when its own time is half again the median's.
std::string StepVerdict(const v1::JobReport& job) {
  std::vector<const v1::WorkerReport*> live;
  for (const v1::WorkerReport& worker : job.workers()) {
    if (worker.live() && worker.progress().step_ms_p50() > 0) {
      live.push_back(&worker);
    }
  }
  if (live.empty()) return "";
  std::sort(live.begin(), live.end(), [](const auto* a, const auto* b) {
    return OwnMs(a->progress()) < OwnMs(b->progress());
  });
  const v1::WorkerReport& median = *live[(live.size() - 1) / 2];
  const v1::WorkerReport& slowest = *live.back();
  std::string text = absl::StrFormat("a step takes %.1f ms, most of it %s",
                                     median.progress().step_ms_p50(),
                                     LargestPart(median.progress()));
  if (live.size() > 1 &&
      OwnMs(slowest.progress()) > 1.5 * OwnMs(median.progress())) {
    absl::StrAppendFormat(
        &text, "; worker %d is slow: %.1f ms of its own per step against %.1f",
        slowest.worker(), OwnMs(slowest.progress()), OwnMs(median.progress()));
    const auto kind = job.spec().sync().kind();
    if (kind == v1::Sync::BSP || kind == v1::Sync::SSP) {
      absl::StrAppend(&text, ", and the others wait for it");
    }
  }
  return text;
}

}  // namespace paramo::cli
