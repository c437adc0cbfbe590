// The cluster state as a server uses it: tables resolved to rules, jobs to
// sync policies. Made once per version, then immutable and shared.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clocks.h"
#include "common/base/ids.h"
#include "server/replication/config.h"
#include "server/sync/policy.h"
#include "server/table/table_config.h"

namespace paramo {

namespace v1 {
class ClusterState;
class Member;
class Sync;
class Table;
}  // namespace v1

struct ShardView {
  ShardConfig config;
  std::string address;  // of the primary
};

// One incarnation of a worker. A rank that changed hands has several, in order
// of session.
struct MemberView {
  WorkerId worker = 0;
  SessionId session = kNoSession;
  uint32_t session_epoch = 0;
  WorkerClock first_clock = 0;
  bool left = false;
  WorkerClock left_clock = 0;  // first round without it

  // Whether its first round with or without it is still being decided.
  bool undecided() const {
    return (left ? left_clock : first_clock) == kUndecidedRound;
  }
  bool live() const { return !left && !undecided(); }
  bool gone() const { return left && !undecided(); }
};

struct JobView {
  uint32_t id = 0;
  std::string name;
  SyncSpec sync;
  bool gathering = false;  // some of its first workers have yet to join
  bool over = false;
  std::vector<MemberView> members;
};

struct ClusterView {
  uint64_t version = 0;
  uint64_t cluster_id = 0;
  uint64_t cluster_incarnation = 0;
  std::vector<ShardView> shards;
  std::map<TableId, std::shared_ptr<const TableConfig>> tables;
  TableId newest_table = 0;  // the highest id ever given
  std::vector<JobView> jobs;
  // The state as the coordinator sent it, for handing it on.
  std::shared_ptr<const v1::ClusterState> state;

  const TableConfig* FindTable(TableId id) const {
    auto table = tables.find(id);
    return table == tables.end() ? nullptr : table->second.get();
  }
};

// Errors: INVALID_ARGUMENT  a policy that this build cannot keep
absl::StatusOr<SyncSpec> SyncSpecOf(const v1::Sync& proto);
void ToProto(const SyncSpec& spec, v1::Sync& proto);
MemberView MemberViewOf(const v1::Member& proto);
void ToProto(const MemberView& member, v1::Member& proto);

// Errors: INVALID_ARGUMENT  a table that this build cannot serve
absl::StatusOr<std::shared_ptr<const TableConfig>> MakeTableConfig(
    const v1::Table& table);

// Errors: INVALID_ARGUMENT  a table this build cannot serve (unknown rule,
//                           parameter out of range), or a state that is not
//                           one; the message names the table
absl::StatusOr<std::shared_ptr<const ClusterView>> MakeClusterView(
    std::shared_ptr<const v1::ClusterState> state);

}  // namespace paramo
