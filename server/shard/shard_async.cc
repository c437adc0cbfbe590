// What a push of an asynchronous job may bring besides its gradient: how stale
// it is, and the values that it was computed at.
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
  const TableShard& table = *tables_.at(header.table);
  if (table.config().staleness_scaling && membership != nullptr) {
    const WorkerClock fastest = membership->job->policy->FastestClock();
    stamp.staleness = fastest > header.clock ? fastest - header.clock : 0;
  }
  return stamp;
}

// In a round every contribution is computed at the same values: nothing to
// compensate.
Shard::Refusal Shard::CheckPulled(const SectionTask& task,
                                  const TableShard& table) const {
  if (!task.header().with_pulled()) return {};
  const DecodeError error = paramo::CheckPulled(task, table.config());
  if (!error.status.ok()) return {error.status, error.reason};
  const auto member = memberships_.find(task.header().session);
  if (member == memberships_.end() || member->second.left) return {};
  const Admission admission = member->second.job->policy->AdmitPush(
      member->second.worker, task.header().clock);
  if (admission != Admission::kAccumulate) return {};
  return {absl::InvalidArgumentError(
              "contributions to this job wait for a round, where nothing is "
              "delayed: push gradients without pulled values"),
          wire::Reason::kUnsupported};
}

}  // namespace paramo
