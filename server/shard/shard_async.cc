// What a push may be besides a gradient. Of an asynchronous job: how stale it
// is, and the values that it was computed at. And the first values of rows.
#include "server/shard/decode.h"
#include "server/shard/shard.h"

namespace paramo {

// From the section's header and from membership and clocks, which change only
// by applied records: the same on every replica.
PushStamp Shard::StampOf(const SectionTask& task, const Membership* membership,
                         Lsn lsn) const {
  const wire::SectionHeader& header = task.header();
  PushStamp stamp;
  stamp.lsn = lsn;
  stamp.clock = header.clock;
  stamp.with_pulled = header.with_pulled();
  stamp.initial = header.initial();
  stamp.codec = task.codec;
  const TableShard& table = *tables_.at(header.table);
  if (table.config().staleness_scaling && membership != nullptr) {
    const WorkerClock fastest = membership->job->policy->FastestClock();
    stamp.staleness = fastest > header.clock ? fastest - header.clock : 0;
  }
  return stamp;
}

// In a round every contribution is computed at the same values: nothing to
// compensate. And a mean of first values is none.
Shard::Refusal Shard::CheckExtras(const SectionTask& task,
                                  const TableShard& table) const {
  if (!task.header().with_pulled() && !task.header().initial()) return {};
  const DecodeError error = paramo::CheckExtras(task, table.config());
  if (!error.status.ok()) return {error.status, error.reason};
  const auto member = memberships_.find(task.header().session);
  if (member == memberships_.end() || member->second.left) return {};
  const Admission admission = member->second.job->policy->AdmitPush(
      member->second.worker, task.header().clock);
  if (admission != Admission::kAccumulate) return {};
  return {absl::InvalidArgumentError(
              "contributions to this job wait for a round, where nothing is "
              "delayed: push gradients without pulled values, and first values "
              "outside of the job"),
          wire::Reason::kUnsupported};
}

}  // namespace paramo
