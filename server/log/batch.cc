#include "server/log/batch.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "common/base/check.h"
#include "common/base/limits.h"

namespace paramo {

LogBlockPool::~LogBlockPool() {
  for (uint8_t* block : idle_) std::free(block);
}

uint8_t* LogBlockPool::Take() {
  {
    MutexLock lock(mu_);
    if (!idle_.empty()) {
      uint8_t* block = idle_.back();
      idle_.pop_back();
      return block;
    }
  }
  auto* block = static_cast<uint8_t*>(std::malloc(kLogBlockBytes));
  if (block == nullptr) throw std::bad_alloc();  // as every container does
  return block;
}

void LogBlockPool::Give(uint8_t* block) {
  {
    MutexLock lock(mu_);
    if ((idle_.size() + 1) * kLogBlockBytes <= kLogIdleBytesMax) {
      idle_.push_back(block);
      return;
    }
  }
  std::free(block);
}

namespace {

// Fills the pieces of a room from front to back.
class RoomWriter {
 public:
  explicit RoomWriter(const LogRoom& room) : room_(room) {}

  void Write(const void* data, size_t size) {
    auto* from = static_cast<const uint8_t*>(data);
    while (size > 0) {
      const iovec& piece = room_[piece_];
      const size_t part = std::min(size, piece.iov_len - used_);
      std::memcpy(static_cast<uint8_t*>(piece.iov_base) + used_, from, part);
      from += part;
      size -= part;
      used_ += part;
      if (used_ == piece.iov_len) ++piece_, used_ = 0;
    }
  }

  bool full() const { return piece_ == room_.size(); }

 private:
  const LogRoom& room_;
  size_t piece_ = 0;
  size_t used_ = 0;
};

}  // namespace

void CopyRecord(const RecordHeader& header, absl::Span<const Piece> payload,
                const LogRoom& room) {
  RoomWriter writer(room);
  writer.Write(&header, sizeof(header));
  for (const Piece& piece : payload) writer.Write(piece.data, piece.size);
  PARAMO_CHECK(writer.full());
}

LogBatch::~LogBatch() { FreeBlocks(); }

void LogBatch::FreeBlocks() {
  for (const iovec& block : blocks_) {
    pool_.Give(static_cast<uint8_t*>(block.iov_base));
  }
  blocks_.clear();
}

LogRoom LogBatch::Reserve(const RecordHeader& header) {
  LogRoom room;
  if (bytes_ == 0) Extend(sizeof(BatchHeader), room);
  room.clear();
  records_.push_back({header.shard, header.kind, header.lsn, bytes_});
  Extend(sizeof(header) + header.length, room);
  return room;
}

void LogBatch::Extend(size_t size, LogRoom& room) {
  bytes_ += size;
  while (size > 0) {
    if (blocks_.empty() || blocks_.back().iov_len == kLogBlockBytes) {
      blocks_.push_back({pool_.Take(), 0});
    }
    iovec& block = blocks_.back();
    const size_t part = std::min(size, kLogBlockBytes - block.iov_len);
    room.push_back(
        {static_cast<uint8_t*>(block.iov_base) + block.iov_len, part});
    block.iov_len += part;
    size -= part;
  }
}

absl::Span<const iovec> LogBatch::Finish(const BatchHeader& header) {
  LogRoom unused;
  if (bytes_ == 0) Extend(sizeof(BatchHeader), unused);
  std::memcpy(blocks_.front().iov_base, &header, sizeof(header));
  return blocks_;
}

}  // namespace paramo
