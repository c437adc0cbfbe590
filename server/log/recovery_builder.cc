#include "server/log/recovery_builder.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace paramo {
namespace {

RecordHeader HeaderAt(const uint8_t* bytes) {
  RecordHeader header;
  std::memcpy(&header, bytes, sizeof(header));
  return header;
}

std::string Describe(const LogRange& range, absl::string_view what,
                     absl::string_view where) {
  return absl::StrCat(what, " in ", where, ", bytes [", range.begin, ", ",
                      range.end, ") of the stream");
}

// Where the tail of a crash begins; null when there is none. Everything bad
// before it was promised.
const ScannedBad* FindTail(const SegmentScan& scan, uint64_t durable,
                           bool same_boot) {
  for (const ScannedBad& bad : scan.bad) {
    if (bad.range.begin < durable || (same_boot && !bad.torn)) continue;
    return &bad;
  }
  return nullptr;
}

}  // namespace

void LogRecoveryBuilder::Keep(const LogFileBytes& bytes) {
  recovery_->bytes_ += bytes.bytes.size();
  recovery_->memory_.push_back(bytes.owner);
}

void LogRecoveryBuilder::AddMissing(LogRange range) {
  OnCorruption(range, Describe(range, "missing segments", "the directory"));
}

void LogRecoveryBuilder::AddSynced(const SegmentName& name,
                                   const SegmentScan& scan) {
  Walk(name, scan, kNoEnd);
}

void LogRecoveryBuilder::AddLast(const SegmentName& name,
                                 const SegmentScan& scan, bool same_boot) {
  const uint64_t body = name.first_position + sizeof(SegmentHeader);
  const uint64_t durable = std::max(scan.durable, body);
  const ScannedBad* tail = FindTail(scan, durable, same_boot);
  const uint64_t end =
      std::max(body, tail == nullptr ? scan.end : tail->range.begin);
  Walk(name, scan, end);
  if (tail != nullptr && end < scan.end) {
    recovery_->cut_ = Describe({end, scan.end}, tail->what, name.Format());
  }
  if (end < durable) {
    const LogRange missing = {end, durable};
    OnCorruption(missing,
                 Describe(missing, "the file is short", name.Format()));
  }
  recovery_->durable_ = durable;
  recovery_->position_ = std::max(end, durable);
}

void LogRecoveryBuilder::Walk(const SegmentName& name, const SegmentScan& scan,
                              uint64_t end) {
  if (!scan.header_is_good && scan.end > name.first_position) {
    recovery_->corruptions_.push_back(absl::StrCat(
        "bad header of ", name.Format(), "; no record is lost with it"));
  }
  auto bad = scan.bad.begin();
  const auto corruptions_before = [&](uint64_t position) {
    for (; bad != scan.bad.end() && bad->range.begin < position; ++bad) {
      OnCorruption(bad->range, Describe(bad->range, bad->what, name.Format()));
    }
  };
  for (const ScannedRecord& record : scan.records) {
    if (record.position >= end) break;
    corruptions_before(record.position);
    OnRecord(record);
  }
  corruptions_before(end);
}

void LogRecoveryBuilder::OnCorruption(LogRange range, const std::string& what) {
  recovery_->corruptions_.push_back(what);
  recovery_->last_corruption_ = what;
  ++corruptions_;
  index_.AddBad(range);
}

void LogRecoveryBuilder::OnRecord(const ScannedRecord& record) {
  const RecordHeader header = HeaderAt(record.bytes);
  LogShardRecords& shard = recovery_->by_shard_[header.shard];
  State& state = states_[header.shard];
  ++recovery_->records_;
  if (IsMark(header)) {
    OnMark(record, header, shard, state);
  } else if (shard.damage.ok()) {
    const std::string broken = WhyBroken(header, shard, state);
    if (!broken.empty()) return Damage(shard, header.shard, broken);
    shard.records_.push_back(record.bytes);
    shard.last_lsn = header.lsn;
    shard.last_crc = header.crc32c;
    index_.AddRecord(header.shard, header.lsn, record.batch);
  }
  if (!shard.damage.ok()) return;
  shard.last_epoch = header.epoch;
  shard.last_history = header.history;
  state.seen = true;
  state.corruptions = corruptions_;
}

// "" when the record goes on where the shard is.
std::string LogRecoveryBuilder::WhyBroken(const RecordHeader& header,
                                          const LogShardRecords& shard,
                                          const State& state) const {
  if (state.seen) {
    if (header.lsn != shard.last_lsn + 1) {
      return absl::StrCat("lsn ", header.lsn, " follows ", shard.last_lsn);
    }
    if (header.previous_crc == shard.last_crc) return "";
    return absl::StrCat("lsn ", header.lsn, " does not chain to ",
                        shard.last_lsn);
  }
  const auto released = released_.find(header.shard);
  const bool known = released != released_.end();
  const Lsn needed = known ? released->second + 1 : 1;
  if (header.lsn <= needed || (!known && corruptions_ == 0)) return "";
  return absl::StrCat("its first record is lsn ", header.lsn, ", needed is ",
                      needed);
}

void LogRecoveryBuilder::OnMark(const ScannedRecord& record,
                                const RecordHeader& header,
                                LogShardRecords& shard, State& state) {
  if (header.kind == static_cast<uint16_t>(RecordKind::kRestart)) {
    shard.records_.clear();
    shard.damage = absl::OkStatus();
    index_.AddRestart(header.shard, header.lsn, record.position);
  } else if (!shard.damage.ok()) {
    return;
  } else {
    RecordHeader next = header;
    ++next.lsn;
    if (state.seen ? header.lsn > shard.last_lsn
                   : !WhyBroken(next, shard, state).empty()) {
      return Damage(shard, header.shard,
                    absl::StrCat("it was cut to lsn ", header.lsn,
                                 ", its last is ", shard.last_lsn));
    }
    auto& records = shard.records_;
    while (!records.empty() && HeaderAt(records.back()).lsn > header.lsn) {
      records.pop_back();
    }
    if (!records.empty() &&
        HeaderAt(records.back()).crc32c != header.previous_crc) {
      return Damage(
          shard, header.shard,
          absl::StrCat("the cut to lsn ", header.lsn, " does not chain to it"));
    }
    index_.AddTruncate(header.shard, header.lsn, record.position);
  }
  shard.last_lsn = header.lsn;
  shard.last_crc = header.previous_crc;
}

void LogRecoveryBuilder::Damage(LogShardRecords& shard, ShardId id,
                                const std::string& how) {
  shard.damage = absl::DataLossError(
      absl::StrCat("the log of shard ", id, " is damaged: ", how,
                   recovery_->last_corruption_.empty() ? "" : "; ",
                   recovery_->last_corruption_));
}

std::unique_ptr<LogRecovery> LogRecoveryBuilder::Finish() {
  for (auto& [id, shard] : recovery_->by_shard_) {
    recovery_->shard_ids_.push_back(id);
    if (shard.damage.ok() && states_[id].corruptions < corruptions_) {
      Damage(
          shard, id,
          absl::StrCat("records behind lsn ", shard.last_lsn, " may be lost"));
    }
  }
  std::sort(recovery_->shard_ids_.begin(), recovery_->shard_ids_.end());
  return std::move(recovery_);
}

}  // namespace paramo
