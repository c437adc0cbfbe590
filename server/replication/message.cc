#include "server/replication/message.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/hash/crc32c.h"
#include "common/wire/layout.h"

namespace paramo {
namespace {

constexpr uint16_t kVersion = 1;

struct WireStart {
  uint16_t version = kVersion;
  uint16_t count = 0;
};

// As it lies on the wire (message.h).
struct WireHead {
  uint32_t crc32c = 0;
  uint8_t kind = 0;
  uint8_t flags = 0;
  uint16_t count = 0;
  uint32_t shard = 0;
  uint32_t position_crc = 0;
  uint64_t history = 0;
  uint64_t epoch = 0;
  uint64_t term = 0;
  uint64_t position = 0;
  uint64_t committed = 0;
  uint64_t last = 0;
  uint32_t last_crc = 0;
  uint32_t zero = 0;
  uint64_t sum_lsn = 0;
  uint64_t sum = 0;
};
static_assert(sizeof(WireHead) == 88);
static_assert(offsetof(WireHead, history) == 16);
static_assert(offsetof(WireHead, last_crc) == 64);

struct WireRecord {
  uint32_t level = 0;
  RecordHeader header;

  // RecordHeader needs alignment 8, so the two are copied one by one.
  static constexpr size_t kBytes = sizeof(uint32_t) + sizeof(RecordHeader);
  void Write(uint8_t* out) const {
    std::memcpy(out, &level, sizeof(level));
    std::memcpy(out + sizeof(level), &header, sizeof(header));
  }
  void Read(const uint8_t* in) {
    std::memcpy(&level, in, sizeof(level));
    std::memcpy(&header, in + sizeof(level), sizeof(header));
  }
};

static_assert(kPeerMessageOverheadBytes ==
              sizeof(WireStart) + sizeof(WireHead) + WireRecord::kBytes);

WireHead HeadOf(const PeerMessage& message) {
  WireHead head;
  head.kind = static_cast<uint8_t>(message.kind);
  head.flags = message.flags;
  head.count = static_cast<uint16_t>(message.records.size());
  head.shard = message.shard;
  head.position_crc = message.position_crc;
  head.history = message.history;
  head.epoch = message.epoch;
  head.term = message.term;
  head.position = message.position;
  head.committed = message.committed;
  head.last = message.last;
  head.last_crc = message.last_crc;
  head.sum_lsn = message.sum_lsn;
  head.sum = message.sum;
  return head;
}

PeerMessage MessageOf(const WireHead& head) {
  PeerMessage message;
  message.kind = static_cast<PeerMessage::Kind>(head.kind);
  message.flags = head.flags;
  message.shard = head.shard;
  message.position_crc = head.position_crc;
  message.history = head.history;
  message.epoch = head.epoch;
  message.term = head.term;
  message.position = head.position;
  message.committed = head.committed;
  message.last = head.last;
  message.last_crc = head.last_crc;
  message.sum_lsn = head.sum_lsn;
  message.sum = head.sum;
  return message;
}

uint32_t CrcOfHead(const WireHead& head) {
  constexpr size_t kCrcBytes = sizeof(head.crc32c);
  return Crc32c(reinterpret_cast<const uint8_t*>(&head) + kCrcBytes,
                sizeof(head) - kCrcBytes);
}

// Everything that is not payload, in one block, and what owns the payloads.
struct Outgoing {
  std::vector<uint8_t> heads;
  std::vector<Rope> payloads;
};

size_t HeadBytes(absl::Span<const PeerMessage> messages) {
  size_t bytes = sizeof(WireStart);
  for (const PeerMessage& message : messages) {
    bytes += sizeof(WireHead) + message.records.size() * WireRecord::kBytes;
  }
  return bytes;
}

// Writes one message's head and records at `out`; a payload ends the piece
// before it and begins one of its own.
uint8_t* EncodeOne(const PeerMessage& message, uint8_t* out,
                   const uint8_t*& piece_start, Rope::Pieces& pieces,
                   std::vector<Rope>& payloads) {
  PARAMO_CHECK(message.records.size() <= kPeerRecordsMax);
  WireHead head = HeadOf(message);
  uint8_t* const head_at = out;
  out += sizeof(head);
  uint32_t crc = CrcOfHead(head);
  for (const SentRecord& sent : message.records) {
    WireRecord record{static_cast<uint32_t>(sent.level), sent.record.header};
    record.Write(out);
    crc = Crc32c(out, WireRecord::kBytes, crc);
    out += WireRecord::kBytes;
    if (sent.record.payload.size() == 0) continue;
    pieces.push_back({piece_start, static_cast<size_t>(out - piece_start)});
    piece_start = out;
    for (const Piece& piece : sent.record.payload.pieces()) {
      pieces.push_back(piece);
    }
    payloads.push_back(sent.record.payload);
  }
  head.crc32c = crc;
  std::memcpy(head_at, &head, sizeof(head));
  return out;
}

// Takes the next `size` bytes, which must be there, without copying them.
Rope TakeRope(wire::Cursor& cursor, const Rope& bytes, size_t size,
              const std::shared_ptr<const Rope>& owner) {
  Rope::Pieces pieces;
  size_t begin = cursor.offset();
  const size_t end = begin + size;
  size_t piece_begin = 0;
  for (const Piece& piece : bytes.pieces()) {
    const size_t piece_end = piece_begin + piece.size;
    if (begin < piece_end && begin < end) {
      const size_t take = std::min(end, piece_end) - begin;
      pieces.push_back({piece.data + (begin - piece_begin), take});
      begin += take;
    }
    piece_begin = piece_end;
  }
  PARAMO_CHECK(cursor.Skip(size));
  return Rope(std::move(pieces), owner, size);
}

absl::Status Malformed(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("peer message: ", what));
}

absl::Status CheckHead(const WireHead& head) {
  if (head.kind != static_cast<uint8_t>(PeerMessage::Kind::kAppend) &&
      head.kind != static_cast<uint8_t>(PeerMessage::Kind::kAck)) {
    return Malformed("unknown kind");
  }
  if (head.count > kPeerRecordsMax) return Malformed("too many records");
  if (head.zero != 0) return Malformed("reserved bytes are set");
  return absl::OkStatus();
}

absl::Status DecodeRecords(wire::Cursor& cursor, const Rope& bytes,
                           const std::shared_ptr<const Rope>& owner,
                           const SeededBugs& bugs, const WireHead& head,
                           PeerMessage& message) {
  uint32_t crc = CrcOfHead(head);
  // What is claimed is believed as far as there are bytes for it.
  message.records.reserve(
      std::min<size_t>(head.count, cursor.left() / WireRecord::kBytes));
  for (size_t i = 0; i < head.count; ++i) {
    uint8_t block[WireRecord::kBytes];
    if (!cursor.Take(sizeof(block), block)) return Malformed("cut short");
    crc = Crc32c(block, sizeof(block), crc);
    WireRecord record;
    record.Read(block);
    if (record.level > static_cast<uint32_t>(Durability::kSynced)) {
      return Malformed("unknown durability");
    }
    if (record.header.length > cursor.left()) return Malformed("cut short");
    SentRecord sent;
    sent.level = static_cast<Durability>(record.level);
    sent.record.header = record.header;
    sent.record.payload = TakeRope(cursor, bytes, record.header.length, owner);
    if (!bugs.frame_unchecked &&
        !CheckRecord(record.header, sent.record.payload.pieces())) {
      return absl::DataLossError("peer message: crc32c of a record");
    }
    message.records.push_back(std::move(sent));
  }
  if (crc != head.crc32c && !bugs.frame_unchecked) {
    return absl::DataLossError("peer message: crc32c");
  }
  return absl::OkStatus();
}

}  // namespace

Rope EncodePeerMessages(absl::Span<const PeerMessage> messages) {
  PARAMO_CHECK(messages.size() <= kPeerMessagesMax);
  auto outgoing = std::make_shared<Outgoing>();
  outgoing->heads.resize(HeadBytes(messages));
  Rope::Pieces pieces;
  uint8_t* out = outgoing->heads.data();
  const uint8_t* piece_start = out;
  WireStart start;
  start.count = static_cast<uint16_t>(messages.size());
  std::memcpy(out, &start, sizeof(start));
  out += sizeof(start);
  for (const PeerMessage& message : messages) {
    out = EncodeOne(message, out, piece_start, pieces, outgoing->payloads);
  }
  if (out != piece_start) {
    pieces.push_back({piece_start, static_cast<size_t>(out - piece_start)});
  }
  size_t pinned = outgoing->heads.size();
  for (const Rope& payload : outgoing->payloads) {
    pinned += payload.pinned_bytes();
  }
  return Rope(std::move(pieces), std::move(outgoing), pinned);
}

absl::StatusOr<std::vector<PeerMessage>> DecodePeerMessages(
    const Rope& bytes, const SeededBugs& bugs) {
  wire::Cursor cursor(bytes);
  WireStart start;
  if (!cursor.Take(sizeof(start), &start)) return Malformed("cut short");
  if (start.version != kVersion) return Malformed("unknown version");
  if (start.count > kPeerMessagesMax) return Malformed("too many messages");
  auto owner = std::make_shared<const Rope>(bytes);
  std::vector<PeerMessage> messages;
  messages.reserve(
      std::min<size_t>(start.count, cursor.left() / sizeof(WireHead)));
  for (size_t i = 0; i < start.count; ++i) {
    WireHead head;
    if (!cursor.Take(sizeof(head), &head)) return Malformed("cut short");
    PARAMO_RETURN_IF_ERROR(CheckHead(head));
    messages.push_back(MessageOf(head));
    PARAMO_RETURN_IF_ERROR(
        DecodeRecords(cursor, bytes, owner, bugs, head, messages.back()));
  }
  if (cursor.left() != 0) return Malformed("bytes left over");
  return messages;
}

}  // namespace paramo
