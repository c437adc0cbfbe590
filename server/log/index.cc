#include "server/log/index.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace paramo {
namespace {

// What a reader may have to walk before its first record, at most: 0.1 ms.
constexpr uint64_t kIndexBytes = 256 << 10;

}  // namespace

bool LogReadPlan::IsVoid(uint64_t position, Lsn lsn) const {
  return std::any_of(voids.begin(), voids.end(), [&](const Void& mark) {
    return position < mark.position && lsn > mark.lsn;
  });
}

void LogIndex::AddSegment(const SegmentName& name,
                          std::shared_ptr<LogFile> file) {
  segments_.push_back({name, std::move(file), {}});
}

void LogIndex::AddRecord(ShardId shard, Lsn lsn, uint64_t batch) {
  PARAMO_CHECK(!segments_.empty());
  shards_[shard].last = lsn;
  Part& part = segments_.back().parts[shard];
  part.last = lsn;
  if (part.entries.empty() ||
      batch - part.entries.back().batch >= kIndexBytes) {
    part.entries.push_back({lsn, batch});
  }
}

void LogIndex::AddTruncate(ShardId shard, Lsn lsn, uint64_t position) {
  shards_[shard].last = lsn;
  shards_[shard].voids.push_back({position, lsn});
  for (Segment& segment : segments_) {
    auto found = segment.parts.find(shard);
    if (found == segment.parts.end()) continue;
    Part& part = found->second;
    part.last = std::min(part.last, lsn);
    while (!part.entries.empty() && part.entries.back().lsn > lsn) {
      part.entries.pop_back();
    }
    if (part.entries.empty()) segment.parts.erase(found);
  }
}

void LogIndex::AddRestart(ShardId shard, Lsn lsn, uint64_t position) {
  AddTruncate(shard, 0, position);
  shards_[shard].last = lsn;
}

absl::StatusOr<std::optional<LogReadPlan>> LogIndex::Plan(ShardId shard,
                                                          Lsn from,
                                                          uint64_t end) const {
  const auto known = shards_.find(shard);
  const Lsn last = known == shards_.end() ? 0 : known->second.last;
  if (from == last + 1) return std::optional<LogReadPlan>();

  // The newest segment whose first record of the shard is not above `from`.
  LogReadPlan plan;
  size_t first = segments_.size();
  for (size_t i = segments_.size(); i-- > 0 && first == segments_.size();) {
    const auto part = segments_[i].parts.find(shard);
    if (part == segments_[i].parts.end()) continue;
    const auto& entries = part->second.entries;
    auto above = std::upper_bound(
        entries.begin(), entries.end(), from,
        [](Lsn lsn, const Entry& entry) { return lsn < entry.lsn; });
    if (above == entries.begin()) continue;
    plan.start = std::prev(above)->batch;
    first = i;
  }
  if (from > last || first == segments_.size()) {
    return absl::OutOfRangeError(
        absl::StrCat("the log does not have lsn ", from, " of shard ", shard,
                     " (its last is ", last, "); send a checkpoint"));
  }
  for (size_t i = first; i < segments_.size(); ++i) {
    plan.sources.push_back({segments_[i].name, segments_[i].file});
  }
  plan.end = end;
  plan.bad = bad_;
  plan.voids = known->second.voids;
  return std::optional<LogReadPlan>(std::move(plan));
}

std::optional<SegmentName> LogIndex::Unneeded(const Released& released) const {
  if (segments_.size() < 2) return std::nullopt;
  for (const auto& [shard, part] : segments_.front().parts) {
    const auto found = released.find(shard);
    if (found == released.end() || found->second < part.last) {
      return std::nullopt;
    }
  }
  return segments_.front().name;
}

bool LogIndex::OldestIsBad() const {
  if (segments_.size() < 2) return false;
  const uint64_t end = segments_[1].name.first_position;
  return std::any_of(bad_.begin(), bad_.end(),
                     [&](const LogRange& bad) { return bad.begin < end; });
}

void LogIndex::DropOldest() {
  segments_.pop_front();
  const uint64_t first = first_position();
  for (auto& [id, shard] : shards_) {
    auto& voids = shard.voids;
    voids.erase(std::remove_if(voids.begin(), voids.end(),
                               [&](const LogReadPlan::Void& mark) {
                                 return mark.position < first;
                               }),
                voids.end());
  }
  bad_.erase(
      std::remove_if(bad_.begin(), bad_.end(),
                     [&](const LogRange& bad) { return bad.end <= first; }),
      bad_.end());
}

std::vector<std::pair<ShardId, Lsn>> LogIndex::Oldest(
    const Released& released) const {
  std::vector<std::pair<ShardId, Lsn>> oldest;
  for (const auto& [id, shard] : shards_) {
    const auto found = released.find(id);
    const Lsn done = found == released.end() ? 0 : found->second;
    if (done < shard.last) oldest.emplace_back(id, done + 1);
  }
  std::sort(oldest.begin(), oldest.end());
  return oldest;
}

}  // namespace paramo
