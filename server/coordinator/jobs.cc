#include "server/coordinator/jobs.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/control.pb.h"
#include "server/coordinator/job_spec.h"
#include "server/coordinator/validate.h"

namespace paramo {
namespace {

// A session costs one write per this many; a restart skips what was left.
constexpr uint64_t kSessionBlock = 1024;

}  // namespace

Jobs::Jobs(Changes& changes)
    : changes_(changes),
      ids_("next/job", /*block=*/1, changes),
      sessions_("sessions/next", kSessionBlock, changes) {}

absl::Status Jobs::LoadSpec(absl::string_view rest, absl::string_view value) {
  std::vector<std::string> path = absl::StrSplit(rest, '/');
  uint32_t id = 0;
  v1::JobSpec spec;
  if (path.size() != 2 || !absl::SimpleAtoi(path[0], &id) ||
      !spec.ParseFromArray(value.data(), static_cast<int>(value.size())) ||
      !NormaliseJobSpec(&spec).ok()) {
    return absl::DataLossError(absl::StrCat("unreadable entry jobs/", rest));
  }
  jobs_[id] = std::make_unique<Job>(id, spec, changes_);
  return absl::OkStatus();
}

absl::Status Jobs::LoadPart(absl::string_view rest, absl::string_view value) {
  std::vector<std::string> path = absl::StrSplit(rest, '/');
  uint32_t id = 0;
  if (path.size() < 2 || !absl::SimpleAtoi(path[0], &id) ||
      jobs_.count(id) == 0) {
    return absl::DataLossError(absl::StrCat("unreadable entry jobs/", rest));
  }
  Job& job = *jobs_.at(id);
  if (path[1] == "state") return job.LoadState(value);
  if (path[1] == "data") return job.LoadData(value);
  if (path[1] == "worker") return job.LoadWorker(value);
  if (path[1] == "gone") return job.LoadGone(value);
  return absl::DataLossError(absl::StrCat("unknown entry jobs/", rest));
}

void Jobs::Resume(absl::Duration now) {
  for (const auto& [id, job] : jobs_) job->Resume(now);
}

absl::Status Jobs::Create(const v1::JobSpec& spec, v1::CreateJobReply* reply) {
  v1::JobSpec wanted = spec;
  PARAMO_RETURN_IF_ERROR(NormaliseJobSpec(&wanted));
  absl::StatusOr<Job*> there = Find(wanted.name());
  if (there.ok()) {
    Job& job = **there;
    std::string difference = DescribeDifference(job.spec(), wanted);
    if (job.over() || !difference.empty()) {
      return absl::AlreadyExistsError(absl::StrCat(
          "job ", wanted.name(), job.over() ? " is over" : " differs: ",
          job.over() ? "" : difference, "; choose another name"));
    }
    reply->set_job(job.id());
    reply->set_created(false);
    return absl::OkStatus();
  }
  if (jobs_.size() >= kJobsMax && !ForgetOldest()) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the cluster has its ", kJobsMax, " jobs; stop one first"));
  }
  uint32_t id = static_cast<uint32_t>(ids_.Take());
  jobs_[id] = std::make_unique<Job>(id, wanted, changes_);
  jobs_[id]->StoreAll();
  reply->set_job(id);
  reply->set_created(true);
  return absl::OkStatus();
}

bool Jobs::ForgetOldest() {
  for (auto it = jobs_.begin(); it != jobs_.end(); ++it) {
    if (!it->second->over() || it->second->HasLiveMembers()) continue;
    LogInfo("forgetting job %s, which is over", it->second->spec().name());
    it->second->Erase();
    jobs_.erase(it);
    return true;
  }
  return false;
}

absl::Status Jobs::CheckRoomForMember() {
  while (true) {
    size_t members = 0;
    for (const auto& [id, job] : jobs_) members += job->member_count();
    if (members < kMembersMax) return absl::OkStatus();
    if (!ForgetOldest()) break;
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("the cluster has its ", kMembersMax, " job members"));
}

absl::StatusOr<Job*> Jobs::Find(absl::string_view name) const {
  PARAMO_RETURN_IF_ERROR(ValidateName("job name", name));
  for (const auto& [id, job] : jobs_) {
    if (job->spec().name() == std::string(name.data(), name.size())) {
      return job.get();
    }
  }
  return absl::NotFoundError(
      absl::StrCat("no job is named ", name, "; create it first"));
}

absl::StatusOr<Job*> Jobs::Find(uint32_t id) const {
  auto it = jobs_.find(id);
  if (it != jobs_.end()) return it->second.get();
  return absl::NotFoundError(absl::StrCat("there is no job ", id));
}

void Jobs::Tick(absl::Duration now, const OpenRoundOf& open_round) {
  for (auto& [id, job] : jobs_) {
    if (job->over() && !job->HasLiveMembers()) continue;
    job->NoteOpenRound(open_round(id));
    job->Tick(now);
  }
}

void Jobs::Ask(uint64_t version) {
  for (auto& [id, job] : jobs_) job->Ask(version);
}

void Jobs::Decide(const OpenRoundOf& open_round,
                  const std::function<bool(uint64_t version)>& applied) {
  for (auto& [id, job] : jobs_) {
    if (job->asked_version() == 0 || !applied(job->asked_version())) continue;
    job->NoteOpenRound(open_round(id));
    job->Decide();
  }
}

bool Jobs::undecided() const {
  return std::any_of(jobs_.begin(), jobs_.end(),
                     [](const auto& job) { return job.second->undecided(); });
}

void Jobs::Close() {
  for (const auto& [id, job] : jobs_) job->Close();
}

std::vector<Barriers::Answer> Jobs::TakeAnswers() {
  std::vector<Barriers::Answer> all;
  for (const auto& [id, job] : jobs_) {
    for (Barriers::Answer& answer : job->TakeAnswers()) {
      all.push_back(std::move(answer));
    }
  }
  return all;
}

void Jobs::FillState(v1::ClusterState* state) const {
  for (const auto& [id, job] : jobs_) {
    if (job->member_count() > 0) job->FillState(state->add_jobs());
  }
}

void Jobs::FillList(absl::Duration now, v1::ListJobsReply* reply) const {
  for (const auto& [id, job] : jobs_) {
    v1::JobReport* report = reply->add_jobs();
    job->FillReport(now, report);
    report->mutable_spec()->clear_definition();  // may be 256 KiB each
  }
}

}  // namespace paramo
