#include "tests/chaos/shard_logs.h"

#include <algorithm>
#include <cstring>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "server/log/record.h"
#include "server/log/scan.h"
#include "server/log/segment.h"

namespace paramo::chaos {
namespace {

absl::StatusOr<std::vector<SegmentName>> ListSegments(
    const std::string& directory) {
  PARAMO_ASSIGN_OR_RETURN(auto names, PosixLogDisk().List(directory));
  std::vector<SegmentName> segments;
  for (const std::string& name : names) {
    if (auto segment = SegmentName::Parse(name)) segments.push_back(*segment);
  }
  std::sort(segments.begin(), segments.end(),
            [](const SegmentName& a, const SegmentName& b) {
              return a.number < b.number;
            });
  return segments;
}

bool IsBefore(const LogRecord& a, const LogRecord& b) {
  return std::tie(a.header.epoch, a.header.lsn) <
         std::tie(b.header.epoch, b.header.lsn);
}

}  // namespace

absl::Status ShardLogs::Add(const std::string& directory) {
  PARAMO_ASSIGN_OR_RETURN(const auto segments, ListSegments(directory));
  for (size_t i = 0; i < segments.size(); ++i) {
    // What lies behind the next one's beginning was cut at a start.
    const uint64_t end =
        i + 1 < segments.size() ? segments[i + 1].first_position : kNoEnd;
    const std::string file = segments[i].Format();
    PARAMO_ASSIGN_OR_RETURN(auto bytes, PosixLogDisk().Map(directory, file));
    PARAMO_ASSIGN_OR_RETURN(const SegmentScan scan,
                            ScanSegment(segments[i], bytes.bytes, end));
    if (!scan.bad.empty()) {
      return absl::DataLossError(absl::StrCat(directory, "/", file, ": ",
                                              scan.bad.front().what, " at ",
                                              scan.bad.front().range.begin));
    }
    for (const ScannedRecord& record : scan.records) Take(record.bytes);
    memory_.push_back(std::move(bytes));
  }
  return absl::OkStatus();
}

void ShardLogs::Take(const uint8_t* bytes) {
  LogRecord record;
  std::memcpy(&record.header, bytes, sizeof(RecordHeader));
  if (IsMark(record.header)) return;
  record.payload = {bytes + sizeof(RecordHeader), record.header.length};
  std::vector<LogRecord>& same =
      by_shard_[record.header.shard][record.header.lsn];
  for (const LogRecord& other : same) {
    if (other.header.crc32c == record.header.crc32c) return;
  }
  same.push_back(record);
}

std::vector<ShardId> ShardLogs::shards() const {
  std::vector<ShardId> shards;
  for (const auto& [shard, records] : by_shard_) shards.push_back(shard);
  return shards;
}

absl::StatusOr<std::vector<LogRecord>> ShardLogs::Chain(ShardId shard) const {
  std::vector<LogRecord> chain;
  const auto found = by_shard_.find(shard);
  if (found == by_shard_.end()) return chain;
  const Records& records = found->second;
  // Its epoch says whose record it is, and a primary's log only grows.
  LogRecord last = records.begin()->second.front();
  for (const auto& [lsn, same] : records) {
    for (const LogRecord& record : same) {
      if (IsBefore(last, record)) last = record;
    }
  }
  chain.push_back(last);
  while (chain.back().header.lsn > 1) {
    const RecordHeader& next = chain.back().header;
    const auto at = records.find(next.lsn - 1);
    const LogRecord* before = nullptr;
    if (at != records.end()) {
      for (const LogRecord& record : at->second) {
        if (record.header.crc32c == next.previous_crc) before = &record;
      }
    }
    if (before == nullptr) {
      return absl::DataLossError(absl::StrCat("shard ", shard, ": record ",
                                              next.lsn - 1, " is in no log"));
    }
    chain.push_back(*before);
  }
  std::reverse(chain.begin(), chain.end());
  return chain;
}

}  // namespace paramo::chaos
