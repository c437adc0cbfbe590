#include "tests/chaos/judge.h"

#include <algorithm>
#include <utility>

#include "common/base/status.h"
#include "tests/chaos/replay.h"

namespace paramo::chaos {

absl::StatusOr<Evidence> HoldAgainst(const ShardLogs& logs,
                                     const Contents& rows, const Layout& layout,
                                     const ScalarRule& rule) {
  PARAMO_ASSIGN_OR_RETURN(Replayed replayed, Replay(logs, layout, rule));
  return Evidence{.pushes = std::move(replayed.pushes),
                  .different = CountDifferent(rows, replayed.values),
                  .repeated = replayed.repeated};
}

absl::StatusOr<Evidence> Gather(ChaosCluster& cluster, const Layout& layout,
                                const ScalarRule& rule) {
  PARAMO_ASSIGN_OR_RETURN(Contents rows, ReadContents(cluster.address()));
  if (!rule.has_state()) return Evidence{.pushes = std::move(rows)};
  cluster.StopServers();
  ShardLogs logs;
  for (const std::string& directory : cluster.log_dirs()) {
    PARAMO_RETURN_IF_ERROR(logs.Add(directory));
  }
  return HoldAgainst(logs, rows, layout, rule);
}

Verdict JudgeAll(const Evidence& evidence, const Layout& layout,
                 const std::map<uint32_t, const History*>& histories,
                 Report& report) {
  Verdict sum;
  for (const auto& [client, history] : histories) {
    const Verdict verdict = Judge(
        *history, RowsOf(evidence.pushes, layout, client, history->size()));
    sum += verdict;
    report.Json(ToJson(client, verdict));
  }
  // A push that is there twice is one duplicate, whoever sees it.
  sum.duplicated = std::max(sum.duplicated, evidence.repeated);
  sum.unexpected +=
      evidence.different + CountStrangers(evidence.pushes, layout, histories);
  return sum;
}

}  // namespace paramo::chaos
