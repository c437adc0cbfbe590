// The canonical encoding of the data plane (docs/formats/wire.md): what
// generated code writes when every header field is set, which puts each field
// at a fixed offset. One list of fields per header serves the writer, the
// reader and the checksum.
//
//   Section, 139 bytes of header, then the two blocks:
//   +-----+-------+-----+-------+   +--------+-----+------+----------+-----+
//   | 0d  | shard | 11  | epoch |...| crc32c | a201| len  | keys ... | aa01|...
//   +-----+-------+-----+-------+   +--------+-----+------+----------+-----+
//
// Instead of the key block, 26 bytes behind the value block: a KeyListRef.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "common/mem/rope.h"
#include "common/wire/section.h"

namespace paramo::wire {

// Calls visit(field number, field) in ascending order; fields are u32
// (fixed32) or u64 (fixed64).
template <typename Header, typename Visit>
constexpr void VisitSection(Header& h, Visit&& visit) {
  visit(1, h.shard);
  visit(2, h.epoch);
  visit(3, h.history);
  visit(4, h.session);
  visit(5, h.session_epoch);
  visit(6, h.seq);
  visit(7, h.clock);
  visit(8, h.examples);
  visit(9, h.colour);
  visit(10, h.table);
  visit(11, h.table_version);
  visit(12, h.codec);
  visit(13, h.flags);
  visit(14, h.data_position);
  visit(15, h.floor_epoch);
  visit(16, h.floor_lsn);
  visit(17, h.payload_hash_low);
  visit(18, h.payload_hash_high);
  visit(19, h.crc32c);
}

template <typename Header, typename Visit>
constexpr void VisitSectionReply(Header& h, Visit&& visit) {
  visit(1, h.shard);
  visit(2, h.code);
  visit(3, h.outcome);
  visit(4, h.reason);
  visit(5, h.epoch);
  visit(6, h.history);
  visit(7, h.lsn);
  visit(8, h.clock);
  visit(9, h.colour);
  visit(10, h.replicas);
  visit(11, h.rows_skipped);
  visit(12, h.retry_after_ms);
  visit(13, h.expected_seq);
  visit(14, h.table_version);
  visit(15, h.codec);
  visit(16, h.crc32c);
}

template <typename Ref, typename Visit>
constexpr void VisitKeyList(Ref& list, Visit&& visit) {
  visit(22, list.hash.low);
  visit(23, list.hash.high);
  visit(24, list.count);
}

inline constexpr size_t kSectionHeaderBytes = 139;
inline constexpr size_t kKeyListBytes = 26;
inline constexpr size_t kSectionReplyHeaderBytes = 101;

// Wire types of protobuf.
inline constexpr uint32_t kVarint = 0;
inline constexpr uint32_t kFixed64 = 1;
inline constexpr uint32_t kBytes = 2;
inline constexpr uint32_t kFixed32 = 5;

template <typename Int>
constexpr uint32_t FixedTag(int number) {
  static_assert(std::is_same_v<Int, uint32_t> || std::is_same_v<Int, uint64_t>);
  return static_cast<uint32_t>(number) << 3 |
         (sizeof(Int) == 4 ? kFixed32 : kFixed64);
}
constexpr uint32_t BytesTag(int number) {
  return static_cast<uint32_t>(number) << 3 | kBytes;
}

constexpr size_t VarintBytes(uint64_t value) {
  size_t bytes = 1;
  for (; value >= 0x80; value >>= 7) ++bytes;
  return bytes;
}
inline uint8_t* PutVarint(uint8_t* out, uint64_t value) {
  for (; value >= 0x80; value >>= 7)
    *out++ = static_cast<uint8_t>(value) | 0x80;
  *out++ = static_cast<uint8_t>(value);
  return out;
}

// Puts tag and value. (Integers are little-endian on every machine we build
// for; toolchain files refuse others.)
template <typename Int>
uint8_t* PutFixed(uint8_t* out, int number, Int value) {
  out = PutVarint(out, FixedTag<Int>(number));
  std::memcpy(out, &value, sizeof(value));
  return out + sizeof(value);
}

// As generated code does for fields without presence: zero is not written.
template <typename Int>
uint8_t* PutFixedUnlessZero(uint8_t* out, int number, Int value) {
  return value == 0 ? out : PutFixed(out, number, value);
}

inline uint8_t* PutSectionHeader(uint8_t* out, const SectionHeader& header) {
  VisitSection(header, [&out](int number, auto field) {
    out = PutFixed(out, number, field);
  });
  return out;
}

inline uint8_t* PutKeyList(uint8_t* out, const KeyListRef& list) {
  VisitKeyList(list, [&out](int number, auto field) {
    out = PutFixed(out, number, field);
  });
  return out;
}

inline uint8_t* PutSectionReplyHeader(uint8_t* out,
                                      const SectionReplyHeader& header) {
  VisitSectionReply(header, [&out](int number, auto field) {
    out = PutFixed(out, number, field);
  });
  return out;
}

// Reads one field at `in` and moves past it; false when the tag differs.
template <typename Int>
bool TakeFixed(const uint8_t*& in, int number, Int& value) {
  uint32_t tag = FixedTag<Int>(number);
  bool same = in[0] == (tag < 0x80 ? tag : ((tag & 0x7f) | 0x80));
  ++in;
  if (tag >= 0x80) same &= *in++ == tag >> 7;
  std::memcpy(&value, in, sizeof(value));
  in += sizeof(value);
  return same;
}

// Moves over the bytes of a rope. Each Take fails at the end and then leaves
// the cursor anywhere: the caller gives up on the fast path.
class Cursor {
 public:
  explicit Cursor(const Rope& rope)
      : piece_(rope.pieces().data()), left_(rope.size()) {}

  size_t offset() const { return offset_; }
  size_t left() const { return left_; }

  bool Take(size_t size, void* out) {
    if (size > left_) return false;
    uint8_t* to = static_cast<uint8_t*>(out);
    while (size > 0) {
      size_t take = Contiguous(size);
      std::memcpy(to, piece_->data + at_, take);
      Advance(take);
      to += take;
      size -= take;
    }
    return true;
  }

  bool Skip(size_t size) {
    if (size > left_) return false;
    while (size > 0) {
      size_t take = Contiguous(size);
      Advance(take);
      size -= take;
    }
    return true;
  }

  bool TakeVarint(uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      uint8_t byte;
      if (!Take(1, &byte)) return false;
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }

  // The same, in as few bytes as the value needs; nothing else is canonical.
  bool TakeMinimalVarint(uint64_t& value) {
    size_t before = offset_;
    return TakeVarint(value) && offset_ - before == VarintBytes(value);
  }

  // The next byte without moving; -1 at the end.
  int Peek() {
    if (left_ == 0) return -1;
    Contiguous(1);
    return piece_->data[at_];
  }

 private:
  // How many of the next `size` bytes lie in one piece; at least one.
  size_t Contiguous(size_t size) {
    while (at_ == piece_->size) {
      ++piece_;
      at_ = 0;
    }
    size_t here = piece_->size - at_;
    return size < here ? size : here;
  }
  void Advance(size_t size) {
    at_ += size;
    offset_ += size;
    left_ -= size;
  }

  const Piece* piece_;
  size_t at_ = 0;  // within *piece_
  size_t offset_ = 0;
  size_t left_;
};

// Field numbers that Request and Reply share.
inline constexpr int kPushField = 6;
inline constexpr int kPullField = 7;

// Walks a canonical message: fixed fields in ascending order, each once, then
// push sections, then pull sections. Calls take_field(tag, cursor) for a fixed
// field and take_section(is_pull, cursor) behind a section's tag. False when
// the message is not canonical, or when either says so.
template <typename TakeField, typename TakeSection>
bool WalkCanonical(const Rope& rope, TakeField take_field,
                   TakeSection take_section) {
  Cursor cursor(rope);
  int last_field = 0;
  while (cursor.left() > 0) {
    uint64_t tag;
    if (!cursor.TakeMinimalVarint(tag)) return false;
    int field = static_cast<int>(tag >> 3);
    bool repeats = field >= kPushField;
    if (repeats ? field < last_field : field <= last_field) return false;
    last_field = field;
    bool is_section =
        tag == BytesTag(kPushField) || tag == BytesTag(kPullField);
    bool taken = is_section ? take_section(field == kPullField, cursor)
                            : take_field(tag, cursor);
    if (!taken) return false;
  }
  return true;
}

// Takes the length of a section, which ends at `end`.
inline bool TakeLength(Cursor& cursor, size_t& end) {
  uint64_t size;
  if (!cursor.TakeMinimalVarint(size) || size > cursor.left()) return false;
  end = cursor.offset() + size;
  return true;
}

// Takes the header of a section that ends at `end`: kHeaderBytes, the fields
// that `visit` goes through.
template <size_t kHeaderBytes, typename Header, typename Visit>
bool TakeHeaderFields(Cursor& cursor, size_t end, Header& header, Visit visit) {
  uint8_t bytes[kHeaderBytes];
  if (end - cursor.offset() < sizeof(bytes)) return false;
  if (!cursor.Take(sizeof(bytes), bytes)) return false;
  const uint8_t* in = bytes;
  bool canonical = true;
  visit(header, [&](int number, auto& field) {
    canonical &= TakeFixed(in, number, field);
  });
  return canonical;
}

// Takes a section's length and header.
template <size_t kHeaderBytes, typename Header, typename Visit>
bool TakeHeader(Cursor& cursor, size_t& end, Header& header, Visit visit) {
  return TakeLength(cursor, end) &&
         TakeHeaderFields<kHeaderBytes>(cursor, end, header, visit);
}

// Takes "tag, length" of block `field` and moves over its bytes; false when
// something else is there.
inline bool TakeBlock(Cursor& cursor, int field, ByteRange& block) {
  uint64_t tag;
  uint64_t size;
  if (!cursor.TakeMinimalVarint(tag) || tag != BytesTag(field)) return false;
  if (!cursor.TakeMinimalVarint(size)) return false;
  block = {cursor.offset(), static_cast<size_t>(size)};
  return cursor.Skip(size);
}

}  // namespace paramo::wire
