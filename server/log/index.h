// What lies where in the log's segments: kept in memory, built by recovery,
// grown by the writer. Answers where a reader starts and which segments may go.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "server/log/disk.h"
#include "server/log/segment.h"

namespace paramo {

// Bytes of the stream, [begin, end).
struct LogRange {
  uint64_t begin = 0;
  uint64_t end = 0;
};

// All that a reader of one shard needs; holds the files open.
struct LogReadPlan {
  struct Source {
    SegmentName name;
    std::shared_ptr<LogFile> file;
  };
  struct Void {  // records before `position` with an lsn above `lsn`
    uint64_t position;
    Lsn lsn;
  };
  std::vector<Source> sources;  // in stream order
  uint64_t start = 0;           // a batch header, in the first source
  uint64_t end = 0;             // of the last source
  std::vector<LogRange> bad;    // to be skipped
  std::vector<Void> voids;

  bool IsVoid(uint64_t position, Lsn lsn) const;
};

// Not thread-safe: the log's lock guards it.
//
// Memory: per segment and shard in it 40 bytes, and 16 more for every
// kLogIndexBytes of stream that have a record of the shard.
class LogIndex {
 public:
  void AddSegment(const SegmentName& name, std::shared_ptr<LogFile> file);
  // To the newest segment. `batch` is the position of its batch's header.
  void AddRecord(ShardId shard, Lsn lsn, uint64_t batch);
  // A truncate: records of `shard` above `lsn` are void; a restart: all are.
  // `position` is the mark's own.
  void AddTruncate(ShardId shard, Lsn lsn, uint64_t position);
  void AddRestart(ShardId shard, Lsn lsn, uint64_t position);
  // Nothing good is there; found by recovery.
  void AddBad(LogRange range) { bad_.push_back(range); }

  // Where to read `shard` from `from` to the stream's `end`. nullopt when
  // `from` is the next lsn. OUT_OF_RANGE: it is not here.
  absl::StatusOr<std::optional<LogReadPlan>> Plan(ShardId shard, Lsn from,
                                                  uint64_t end) const;

  // The oldest segment, when it is not the newest and nothing in it is needed.
  using Released = absl::flat_hash_map<ShardId, Lsn>;
  std::optional<SegmentName> Unneeded(const Released& released) const;
  void DropOldest();
  // Whether something bad begins in it, or behind it and before the next.
  bool OldestIsBad() const;

  // Per shard with a record, the first lsn above what is released.
  std::vector<std::pair<ShardId, Lsn>> Oldest(const Released& released) const;

  size_t segments() const { return segments_.size(); }
  uint64_t first_position() const {
    return segments_.empty() ? 0 : segments_.front().name.first_position;
  }

 private:
  struct Entry {  // of a record that is the first of its shard in a batch
    Lsn lsn;
    uint64_t batch;
  };
  struct Part {  // one shard within one segment; never without an entry
    Lsn last = 0;
    std::vector<Entry> entries;  // the first record's, then sparse
  };
  struct Segment {
    SegmentName name;
    std::shared_ptr<LogFile> file;
    absl::flat_hash_map<ShardId, Part> parts;
  };
  struct Shard {
    Lsn last = 0;
    std::vector<LogReadPlan::Void> voids;
  };

  std::deque<Segment> segments_;
  absl::flat_hash_map<ShardId, Shard> shards_;
  std::vector<LogRange> bad_;
};

}  // namespace paramo
