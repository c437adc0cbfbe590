// Walks the records of a stream from a place on, reading files in pieces.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/mem/rope.h"
#include "server/log/index.h"
#include "server/log/record.h"

namespace paramo {

// One thread's. Headers are only believed within a batch whose header checks
// out; payloads that are read are checked, those passed over are not.
class LogStreamReader {
 public:
  explicit LogStreamReader(const LogReadPlan& plan);

  // Goes to the next record; false at the stream's end. DATA_LOSS: a batch
  // header or a record's length is damaged; others: the disk's.
  absl::StatusOr<bool> Next();

  const RecordHeader& header() const { return header_; }
  uint64_t position() const { return record_; }

  // Of the record that Next() went to. DATA_LOSS when it does not check out.
  absl::StatusOr<Rope> ReadPayload();

 private:
  uint64_t SourceEnd() const;
  bool SkipBad();
  absl::Status EnterBatch();
  absl::Status ReadBytes(uint64_t position, size_t size, void* out);
  absl::Status Damaged(const char* what) const;

  const LogReadPlan& plan_;
  size_t source_ = 0;
  uint64_t position_;       // where the next record or batch begins
  uint64_t batch_end_ = 0;  // 0: between batches
  RecordHeader header_;
  uint64_t record_ = 0;

  std::string window_;  // bytes of the source at window_begin_
  uint64_t window_begin_ = 0;
};

}  // namespace paramo
