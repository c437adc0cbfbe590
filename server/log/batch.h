// The batch under construction, and the blocks that it is made of.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/types/span.h"
#include "common/base/mutex.h"
#include "common/mem/rope.h"
#include "server/log/record.h"
#include "server/log/segment.h"

namespace paramo {

// Blocks of kLogBlockBytes. The last given is the first taken: it is the one
// that the cache still has. Any thread.
class LogBlockPool {
 public:
  LogBlockPool() = default;
  ~LogBlockPool();
  LogBlockPool(const LogBlockPool&) = delete;
  LogBlockPool& operator=(const LogBlockPool&) = delete;

  uint8_t* Take();
  void Give(uint8_t* block);  // frees it when kLogIdleBytesMax are idle

 private:
  Mutex mu_;
  std::vector<uint8_t*> idle_ ABSL_GUARDED_BY(mu_);
};

// Room within a batch for one record; in pieces where it crosses blocks.
using LogRoom = absl::InlinedVector<iovec, 2>;

// Copies a record into its room, which it must fill exactly.
void CopyRecord(const RecordHeader& header, absl::Span<const Piece> payload,
                const LogRoom& room);

// A header's room, then records. Used under the log's lock until the writer
// takes it; only rooms that were handed out are filled without it.
class LogBatch {
 public:
  struct Record {
    ShardId shard;
    uint16_t kind;
    Lsn lsn;
    uint64_t offset;  // from the batch's first byte
  };

  explicit LogBatch(LogBlockPool& pool) : pool_(pool) {}
  ~LogBatch();
  LogBatch(const LogBatch&) = delete;
  LogBatch& operator=(const LogBatch&) = delete;

  LogRoom Reserve(const RecordHeader& header);

  // Completes the batch's header; then all of its bytes, in order.
  absl::Span<const iovec> Finish(const BatchHeader& header);

  // Once they are written; the rest stays.
  void FreeBlocks();

  size_t bytes() const { return bytes_; }  // its header included; 0 = nothing
  bool empty() const { return records_.empty(); }
  absl::Span<const Record> records() const { return records_; }

  bool sync = false;   // one of its records asks for it
  size_t copying = 0;  // rooms handed out and not filled yet

 private:
  void Extend(size_t size, LogRoom& room);

  LogBlockPool& pool_;
  std::vector<iovec> blocks_;  // iov_len: bytes used
  std::vector<Record> records_;
  size_t bytes_ = 0;
};

}  // namespace paramo
