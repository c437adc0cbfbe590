// Closing rounds: the serving replica decides, by a record, when a round takes
// no more contributions.
#include "paramo/v1/log_record.pb.h"
#include "server/shard/shard.h"

namespace paramo {

void Shard::CloseCompleteRounds(Job& job) {
  if (serving_ == Serving::kNothing || job.closing || job.frozen) return;
  std::optional<WorkerClock> round = job.policy->CompleteRound();
  if (round.has_value()) return AppendClose(job, *round);
  if (job.policy->RoundHasContributor()) StartDeadline(job);
}

void Shard::AppendClose(Job& job, WorkerClock round) {
  job.closing = true;
  StopDeadline(job);
  v1::RoundCloseRecord proto;
  proto.set_job(job.id);
  proto.set_round(round);
  Append(RecordKind::kRoundClose, Rope::FromString(proto.SerializeAsString()),
         control_level_);
}

void Shard::StartDeadline(Job& job) {
  if (job.sync.deadline_ms == 0) return;
  if (job.deadline != absl::InfiniteDuration()) return;
  job.deadline =
      options_.clock->Now() + absl::Milliseconds(job.sync.deadline_ms);
  options_.counters->round_deadlines.Add(1);
}

void Shard::StopDeadline(Job& job) {
  if (job.deadline == absl::InfiniteDuration()) return;
  job.deadline = absl::InfiniteDuration();
  options_.counters->round_deadlines.Add(-1);
}

void Shard::ExpireRounds(absl::Duration now) {
  if (serving_ == Serving::kNothing) return;
  for (auto& [id, job] : jobs_) {
    if (job->deadline <= now && !job->closing && !job->frozen) {
      AppendClose(*job, job->policy->open_round());  // a logged decision
    }
  }
}

}  // namespace paramo
