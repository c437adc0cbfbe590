// Reading records back for a peer, while others append.
#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "server/log/log.h"
#include "server/log/stream_reader.h"

namespace paramo {

absl::StatusOr<std::vector<Record>> Log::Read(ShardId shard, Lsn from,
                                              size_t bytes_max) const {
  std::optional<LogReadPlan> plan;
  {
    MutexLock lock(mu_);
    PARAMO_ASSIGN_OR_RETURN(plan, index_.Plan(shard, from, stats_.position));
    const auto released = released_.find(shard);
    if (!plan.has_value() && released != released_.end() &&
        from <= released->second) {
      return absl::OutOfRangeError(
          absl::StrCat("lsn ", from, " of shard ", shard,
                       " was cut away before this log "
                       "was opened; send a checkpoint"));
    }
  }
  std::vector<Record> records;
  if (!plan.has_value()) return records;

  const size_t limit = std::min(bytes_max, kLogReadBytesMax);
  size_t bytes = 0;
  Lsn next = from;
  LogStreamReader reader(*plan);
  while (true) {
    PARAMO_ASSIGN_OR_RETURN(const bool more, reader.Next());
    if (!more) break;
    const RecordHeader& header = reader.header();
    if (header.shard != shard || IsMark(header) || header.lsn < from ||
        plan->IsVoid(reader.position(), header.lsn)) {
      continue;
    }
    if (header.lsn != next) break;  // behind damage, or a restart came since
    bytes += sizeof(header) + header.length;
    if (!records.empty() && bytes > limit) break;
    PARAMO_ASSIGN_OR_RETURN(Rope payload, reader.ReadPayload());
    records.push_back({header, std::move(payload)});
    ++next;
  }
  if (!records.empty()) return records;
  return absl::DataLossError(absl::StrCat("lsn ", from, " of shard ", shard,
                                          " is not where the log has it"));
}

}  // namespace paramo
