#include "server/coordinator/liveness.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace paramo {

void Liveness::Track(uint32_t server, uint64_t incarnation, absl::Duration now,
                     absl::Duration grace) {
  MutexLock lock(mu_);
  Server& entry = servers_[server];
  if (entry.incarnation != incarnation) entry.applied_version = 0;
  entry.incarnation = incarnation;
  entry.last_heard = now + grace;
}

void Liveness::Forget(uint32_t server, uint64_t incarnation) {
  MutexLock lock(mu_);
  auto it = servers_.find(server);
  if (it != servers_.end() && it->second.incarnation == incarnation) {
    servers_.erase(it);
  }
}

absl::StatusOr<bool> Liveness::Hear(
    uint32_t server, uint64_t incarnation, uint64_t applied_version,
    absl::Duration now, const std::map<uint32_t, uint64_t>& open_rounds) {
  MutexLock lock(mu_);
  auto it = servers_.find(server);
  if (it == servers_.end() || it->second.incarnation != incarnation) {
    return absl::NotFoundError(absl::StrCat(
        "server ", server, " is not up under this incarnation; register"));
  }
  for (const auto& [job, round] : open_rounds) {
    uint64_t& highest = open_rounds_[job];
    highest = std::max(highest, round);
  }
  Server& entry = it->second;
  entry.last_heard = std::max(entry.last_heard, now);
  if (applied_version <= entry.applied_version) return false;
  entry.applied_version = applied_version;
  return true;
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

std::vector<uint32_t> Liveness::FindBehind(uint64_t version) const {
  std::vector<uint32_t> behind;
  MutexLock lock(mu_);
  for (const auto& [id, server] : servers_) {
    if (server.applied_version < version) behind.push_back(id);
  }
  return behind;
}

}  // namespace paramo
