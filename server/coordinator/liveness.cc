#include "server/coordinator/liveness.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace paramo {
namespace {

// Of one server; of a silent one only the first counts.
constexpr size_t kProbesRemembered = 64;

}  // namespace

void Liveness::Track(uint32_t server, uint64_t incarnation, absl::Duration now,
                     absl::Duration grace) {
  MutexLock lock(mu_);
  Server& entry = servers_[server];
  if (entry.incarnation != incarnation) entry.applied_version = 0;
  entry.incarnation = incarnation;
  entry.last_heard = now + grace;
  entry.asked.clear();
  entry.data_progress = 0;
  entry.worked_at = -absl::InfiniteDuration();
  entry.patient_until = now + kProbeGrace;
}

Liveness::Server* Liveness::Find(uint32_t server, uint64_t incarnation) {
  auto it = servers_.find(server);
  const bool up = it != servers_.end() && it->second.incarnation == incarnation;
  return up ? &it->second : nullptr;
}

void Liveness::Forget(uint32_t server, uint64_t incarnation) {
  MutexLock lock(mu_);
  if (Find(server, incarnation) != nullptr) servers_.erase(server);
}

absl::StatusOr<bool> Liveness::Hear(
    uint32_t server, uint64_t incarnation, uint64_t applied_version,
    absl::Duration now, const std::map<uint32_t, uint64_t>& open_rounds,
    uint64_t data_progress) {
  MutexLock lock(mu_);
  Server* const entry = Find(server, incarnation);
  if (entry == nullptr) {
    return absl::NotFoundError(absl::StrCat(
        "server ", server, " is not up under this incarnation; register"));
  }
  for (const auto& [job, round] : open_rounds) {
    uint64_t& highest = open_rounds_[job];
    highest = std::max(highest, round);
  }
  entry->last_heard = std::max(entry->last_heard, now);
  if (data_progress > entry->data_progress) {
    entry->data_progress = data_progress;
    entry->worked_at = now;
  }
  if (applied_version <= entry->applied_version) return false;
  entry->applied_version = applied_version;
  return true;
}

absl::Duration Liveness::Asked(uint32_t server, uint64_t incarnation,
                               absl::Duration now) {
  MutexLock lock(mu_);
  Server* const entry = Find(server, incarnation);
  if (entry == nullptr) return absl::ZeroDuration();
  if (entry->asked.size() < kProbesRemembered) entry->asked.push_back(now);
  return entry->UnansweredFor(now);
}

void Liveness::Answered(uint32_t server, uint64_t incarnation,
                        absl::Duration asked_at, absl::Duration now) {
  MutexLock lock(mu_);
  answer_at_ = std::max(answer_at_, now);
  Server* const entry = Find(server, incarnation);
  if (entry == nullptr) return;
  std::erase_if(entry->asked,
                [&](absl::Duration at) { return at <= asked_at; });
  entry->patient_until = -absl::InfiniteDuration();
}

absl::Duration Liveness::Server::UnansweredFor(absl::Duration now) const {
  if (asked.empty()) return absl::ZeroDuration();
  const absl::Duration silence = now - std::max(asked.front(), patient_until);
  if (silence > kBusyPatience) return silence;
  return std::min(silence, now - worked_at);
}

uint64_t Liveness::OpenRound(uint32_t job) const {
  MutexLock lock(mu_);
  auto it = open_rounds_.find(job);
  return it == open_rounds_.end() ? 0 : it->second;
}

size_t Liveness::Count() const {
  MutexLock lock(mu_);
  return servers_.size();
}

std::vector<Liveness::Silent> Liveness::FindSilent(absl::Duration now) const {
  std::vector<Silent> silent;
  MutexLock lock(mu_);
  for (const auto& [id, server] : servers_) {
    absl::Duration silence = now - server.last_heard;
    if (silence > kSuspicionTime) {
      silent.push_back({id, server.incarnation, silence});
    }
  }
  return silent;
}

std::vector<Liveness::Silent> Liveness::FindUnanswering(
    absl::Duration now) const {
  std::vector<Silent> unanswering;
  MutexLock lock(mu_);
  for (const auto& [id, server] : servers_) {
    const absl::Duration silence =
        server.UnansweredFor(std::min(now, answer_at_));
    if (silence > kProbeLate) {
      unanswering.push_back({id, server.incarnation, silence});
    }
  }
  return unanswering;
}

std::vector<uint32_t> Liveness::FindBehind(uint64_t version) const {
  std::vector<uint32_t> behind;
  MutexLock lock(mu_);
  for (const auto& [id, server] : servers_) {
    if (server.applied_version < version) behind.push_back(id);
  }
  return behind;
}

}  // namespace paramo
