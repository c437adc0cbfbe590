// Words for what the control plane answers.
#pragma once

#include <string>

#include "client/cli/output.h"

namespace paramo::v1 {
class ClusterState;
class Initializer;
class JobReport;
class ListJobsReply;
class Sync;
class Shard;
class Table;
class UpdateRule;
}  // namespace paramo::v1

namespace paramo::cli {

std::string RuleText(const v1::UpdateRule& rule);  // "adagrad lr=0.05"
std::string InitializerText(
    const v1::Initializer& initializer);     // "uniform:0.01"
std::string SyncText(const v1::Sync& sync);  // "bsp"
std::string PhaseText(int phase);            // "running"

// No replica that has all of the shard is up.
bool IsOffline(const v1::ClusterState& state, const v1::Shard& shard);
// What an offline shard waits for, and the way out; empty for others.
std::string OfflineText(const v1::ClusterState& state, const v1::Shard& shard);
// Which shards wait for nobody who could come back; empty when none does.
std::string LostShardsText(const v1::ClusterState& state);

Records ServerRecords(const v1::ClusterState& state);
Records TableRecords(const v1::ClusterState& state);
void AddTable(const v1::Table& table, Records& records);
Records EmptyTableRecords();
Records JobRecords(const v1::ListJobsReply& jobs);
Records WorkerRecords(const v1::JobReport& job);
// Who is slow and what bounds the step, in words; empty while nobody steps.
std::string StepVerdict(const v1::JobReport& job);

}  // namespace paramo::cli
