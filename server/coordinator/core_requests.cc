// One function per method of service Coordinator: find the machine, call it,
// say when the answer may leave.
#include "common/base/limits.h"
#include "common/base/status.h"
#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/control.pb.h"
#include "server/coordinator/core.h"

namespace paramo {

// ---- Servers ----------------------------------------------------------------

void Core::RegisterServer(const v1::RegisterServerRequest& request,
                          v1::RegisterServerReply* reply, absl::Duration now,
                          Done done) {
  absl::Status status = membership_->Register(request, reply, now);
  if (status.ok()) {
    liveness_.Track(reply->server_id(), request.incarnation(), now);
    reply->set_heartbeat_ms(
        static_cast<uint32_t>(absl::ToInt64Milliseconds(kHeartbeatPeriod)));
  }
  Reply(std::move(done), std::move(status));
}

// ---- Tables -----------------------------------------------------------------

void Core::CreateTable(const v1::CreateTableRequest& request,
                       v1::CreateTableReply* reply, absl::Duration, Done done) {
  absl::StatusOr<bool> created =
      catalogue_->Create(request.spec(), reply->mutable_table());
  Answer answer;
  answer.done = std::move(done);
  answer.status = created.status();
  reply->set_created(created.ok() && *created);
  answer.set_version = [reply](uint64_t version) {
    reply->set_state_version(version);
  };
  ReplyWhenApplied(std::move(answer));
}

void Core::DescribeTable(const v1::DescribeTableRequest& request,
                         v1::Table* reply, absl::Duration, Done done) {
  Reply(std::move(done), catalogue_->Describe(request.name(), reply));
}

void Core::AlterTable(const v1::AlterTableRequest& request, v1::Table* reply,
                      absl::Duration, Done done) {
  Answer answer;
  answer.done = std::move(done);
  answer.status = catalogue_->Alter(request, reply);
  ReplyWhenApplied(std::move(answer));
}

void Core::DropTable(const v1::DropTableRequest& request,
                     v1::DropTableReply* reply, absl::Duration, Done done) {
  Answer answer;
  answer.done = std::move(done);
  answer.status = catalogue_->Drop(request.name(), request.id());
  answer.set_version = [reply](uint64_t version) {
    reply->set_state_version(version);
  };
  ReplyWhenApplied(std::move(answer));
}

void Core::ListTables(const v1::ListTablesRequest&, v1::ListTablesReply* reply,
                      absl::Duration, Done done) {
  catalogue_->FillList(reply);
  Reply(std::move(done), absl::OkStatus());
}

// ---- Sessions and jobs ------------------------------------------------------

// Servers learn of such a session with its first push, so nobody is waited
// for.
void Core::OpenSession(const v1::OpenSessionRequest&,
                       v1::OpenSessionReply* reply, absl::Duration, Done done) {
  reply->set_session(jobs_.sessions().Take());
  reply->set_session_epoch(1);
  Reply(std::move(done), absl::OkStatus());
}

void Core::CreateJob(const v1::CreateJobRequest& request,
                     v1::CreateJobReply* reply, absl::Duration, Done done) {
  Reply(std::move(done), jobs_.Create(request.spec(), reply));
}

void Core::JoinJob(const v1::JoinJobRequest& request, v1::JoinJobReply* reply,
                   absl::Duration now, Done done) {
  Answer answer;
  answer.done = std::move(done);
  answer.status = jobs_.CheckRoomForMember();
  if (answer.status.ok()) {
    absl::StatusOr<Job*> job = jobs_.Find(request.job());
    if (job.ok()) (*job)->NoteOpenRound(liveness_.OpenRound((*job)->id()));
    answer.status = job.ok()
                        ? (*job)->Join(request, jobs_.sessions(), now, reply)
                        : job.status();
  }
  answer.set_version = [reply](uint64_t version) {
    reply->set_state_version(version);
  };
  answer.decided = [this, reply] {
    absl::StatusOr<Job*> job = jobs_.Find(reply->job());
    const std::optional<WorkerClock> first =
        job.ok() ? (*job)->FirstClockOf(reply->worker(), reply->session()) : 0;
    if (first.has_value()) reply->set_first_clock(*first);
    return first.has_value();
  };
  // A member that does not know it is one must not be waited for.
  answer.undo = [this, reply](absl::Duration then) {
    v1::LeaveJobRequest leave;
    leave.set_job(reply->job());
    leave.set_worker(reply->worker());
    leave.set_session(reply->session());
    leave.set_error("its join did not reach every server");
    absl::StatusOr<Job*> job = jobs_.Find(reply->job());
    // It may have left or been taken over meanwhile; then all is well.
    if (job.ok()) (void)(*job)->Leave(leave, then);
  };
  ReplyWhenApplied(std::move(answer));
}

void Core::LeaveJob(const v1::LeaveJobRequest& request, v1::LeaveJobReply*,
                    absl::Duration now, Done done) {
  absl::StatusOr<Job*> job = jobs_.Find(request.job());
  if (job.ok()) (*job)->NoteOpenRound(liveness_.OpenRound((*job)->id()));
  Reply(std::move(done), job.ok() ? (*job)->Leave(request, now) : job.status());
}

void Core::WorkerHeartbeat(const v1::WorkerHeartbeatRequest& request,
                           v1::WorkerHeartbeatReply* reply, absl::Duration now,
                           Done done) {
  absl::StatusOr<Job*> job = jobs_.Find(request.job());
  Reply(std::move(done),
        job.ok() ? (*job)->Heartbeat(request, now, reply) : job.status());
}

void Core::LeaseData(const v1::LeaseDataRequest& request,
                     v1::LeaseDataReply* reply, absl::Duration now, Done done) {
  absl::StatusOr<Job*> job = jobs_.Find(request.job());
  Reply(std::move(done),
        job.ok() ? (*job)->LeaseData(request, now, reply) : job.status());
}

void Core::Barrier(const v1::BarrierRequest& request, absl::Duration timeout,
                   absl::Duration now, Done done) {
  absl::StatusOr<Job*> job = jobs_.Find(request.job());
  if (!job.ok()) return Reply(std::move(done), job.status());
  (*job)->Arrive(request, now + timeout, now, std::move(done));
}

void Core::DescribeJob(const v1::DescribeJobRequest& request,
                       v1::JobReport* reply, absl::Duration now, Done done) {
  absl::StatusOr<Job*> job = jobs_.Find(request.name());
  if (job.ok()) (*job)->FillReport(now, reply);
  Reply(std::move(done), job.status());
}

void Core::ListJobs(const v1::ListJobsRequest&, v1::ListJobsReply* reply,
                    absl::Duration now, Done done) {
  jobs_.FillList(now, reply);
  Reply(std::move(done), absl::OkStatus());
}

void Core::StopJob(const v1::StopJobRequest& request, v1::StopJobReply*,
                   absl::Duration now, Done done) {
  absl::StatusOr<Job*> job = jobs_.Find(request.name());
  Reply(std::move(done), job.ok() ? (*job)->Stop(now) : job.status());
}

// ---- Moving -----------------------------------------------------------------

// A state is in force at the shard's new primary once that one serves.
void Core::TransferShard(const v1::TransferShardRequest& request,
                         v1::TransferShardReply*, absl::Duration, Done done) {
  Answer answer;
  answer.done = std::move(done);
  answer.status = membership_->Transfer(request.shard(), request.to());
  ReplyWhenApplied(std::move(answer));
}

void Core::UnsafePromote(const v1::UnsafePromoteRequest& request,
                         v1::UnsafePromoteReply* reply, absl::Duration,
                         Done done) {
  Answer answer;
  answer.done = std::move(done);
  if (request.empty() == (request.server() != 0)) {
    answer.status = absl::InvalidArgumentError(
        "say either from which server's replica the shard goes on, or that it "
        "begins empty");
  } else if (!request.accept_data_loss()) {
    answer.status = absl::InvalidArgumentError(
        "pushes that were acknowledged may be lost; say that this is accepted");
  } else {
    // A number of its own: every session that there has been has a lower one.
    answer.status = membership_->PromoteUnsafely(
        request.shard(), request.server(), jobs_.sessions().Take(),
        reply->mutable_shard());
  }
  ReplyWhenApplied(std::move(answer));
}

void Core::DrainServer(const v1::DrainServerRequest& request,
                       v1::DrainServerReply*, absl::Duration, Done done) {
  Reply(std::move(done),
        membership_->SetDrained(request.server(), !request.undo()));
}

}  // namespace paramo
