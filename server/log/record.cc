#include "server/log/record.h"

#include <cstring>

#include "common/hash/crc32c.h"

namespace paramo {
namespace {

constexpr size_t kCrcBytes = sizeof(RecordHeader::crc32c);

uint32_t ComputeCrc(const RecordHeader& header,
                    absl::Span<const Piece> payload) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&header);
  uint32_t crc = Crc32c(bytes + kCrcBytes, sizeof(header) - kCrcBytes);
  for (const Piece& piece : payload) crc = Crc32c(piece.data, piece.size, crc);
  return crc;
}

}  // namespace

void SealRecord(RecordHeader& header, absl::Span<const Piece> payload) {
  size_t length = 0;
  for (const Piece& piece : payload) length += piece.size;
  header.length = static_cast<uint32_t>(length);
  header.crc32c = ComputeCrc(header, payload);
}

bool CheckRecord(const RecordHeader& header, absl::Span<const Piece> payload) {
  return header.crc32c == ComputeCrc(header, payload);
}

MarkRecord MakeMark(RecordKind kind, ShardId shard, Epoch epoch,
                    HistoryId history, Lsn lsn, uint32_t crc) {
  MarkRecord mark = {};
  mark.header.kind = static_cast<uint16_t>(kind);
  mark.header.version = 1;
  mark.header.shard = shard;
  mark.header.epoch = epoch;
  mark.header.lsn = lsn;
  mark.header.history = history;
  mark.header.previous_crc = crc;
  mark.payload[0] = epoch;
  mark.payload[1] = lsn;
  const Piece piece = mark.piece();
  SealRecord(mark.header, {&piece, 1});
  return mark;
}

}  // namespace paramo
