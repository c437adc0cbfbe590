// All jobs of the cluster, by name and by id. A pure state machine.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/coordinator/changes.h"
#include "server/coordinator/job.h"

namespace paramo {
namespace v1 {
class ClusterState;
class CreateJobReply;
class ListJobsReply;
}  // namespace v1

class Jobs {
 public:
  explicit Jobs(Changes& changes);

  // One stored entry; `rest` is its key behind "jobs/". Entries come in order
  // of key only, so specs first, then the others.
  absl::Status LoadSpec(absl::string_view rest, absl::string_view value);
  absl::Status LoadPart(absl::string_view rest, absl::string_view value);
  void Resume(absl::Duration now);
  IdCounter& ids() { return ids_; }
  IdCounter& sessions() { return sessions_; }

  // Creates it, or opens one of the same name and spec that is not over. With
  // kJobsMax jobs, the oldest one that is over is forgotten.
  // Errors: INVALID_ARGUMENT    the field and its range
  //         ALREADY_EXISTS      same name, other spec, or it is over
  //         RESOURCE_EXHAUSTED  kJobsMax jobs, none over
  absl::Status Create(const v1::JobSpec& spec, v1::CreateJobReply* reply);

  // Errors: RESOURCE_EXHAUSTED  kMembersMax
  absl::Status CheckRoomForMember();

  absl::StatusOr<Job*> Find(absl::string_view name) const;  // NOT_FOUND
  absl::StatusOr<Job*> Find(uint32_t id) const;             // NOT_FOUND

  // `open_round`: the highest round of a job that is open on some server.
  using OpenRoundOf = std::function<WorkerClock(uint32_t job)>;
  void Tick(absl::Duration now, const OpenRoundOf& open_round);
  // The state with every member's round, decided or not, is out.
  void Ask(uint64_t version);
  // Decides what every server has been asked. `applied`: every server has
  // that version, and has told how far its rounds were then.
  void Decide(const OpenRoundOf& open_round,
              const std::function<bool(uint64_t version)>& applied);
  bool undecided() const;
  void Close();  // as in Job
  std::vector<Barriers::Answer> TakeAnswers();

  void FillState(v1::ClusterState* state) const;  // jobs that have members
  // Without the definitions.
  void FillList(absl::Duration now, v1::ListJobsReply* reply) const;

 private:
  // Forgets the oldest job that is over and deserted; false when none is.
  bool ForgetOldest();

  Changes& changes_;
  IdCounter ids_;
  IdCounter sessions_;
  std::map<uint32_t, std::unique_ptr<Job>> jobs_;  // ids grow: oldest first
};

}  // namespace paramo
