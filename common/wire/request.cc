#include "common/wire/request.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/hash/crc32c.h"
#include "common/hash/hash128.h"
#include "common/wire/checksum.h"
#include "common/wire/generated.h"
#include "common/wire/layout.h"

namespace paramo::wire {
namespace {

constexpr int kKeysField = 20;
constexpr int kValuesField = 21;

// Header and blocks, up to `end`. Where no key block follows the header a list
// comes last.
bool TakeSectionBody(Cursor& cursor, size_t end, SectionView& section) {
  if (!TakeHeaderFields<kSectionHeaderBytes>(
          cursor, end, section.header,
          [](auto& header, auto visit) { VisitSection(header, visit); })) {
    return false;
  }
  const bool named = cursor.Peek() != ((BytesTag(kKeysField) & 0x7f) | 0x80);
  if (!named && !TakeBlock(cursor, kKeysField, section.keys)) return false;
  if (cursor.offset() + (named ? kKeyListBytes : 0) < end &&
      !TakeBlock(cursor, kValuesField, section.values)) {
    return false;
  }
  if (named && !TakeHeaderFields<kKeyListBytes>(
                   cursor, end, section.list.emplace(),
                   [](auto& list, auto visit) { VisitKeyList(list, visit); })) {
    return false;
  }
  return cursor.offset() == end;
}

bool TakeSection(Cursor& cursor, SectionView& section) {
  size_t end;
  return TakeLength(cursor, end) && TakeSectionBody(cursor, end, section);
}

// False when the message is not canonical (or has too many sections, which
// the slow road refuses); `view` is then half filled.
bool ParseCanonical(const Rope& rope, RequestView& view) {
  return WalkCanonical(
      rope,
      [&view](uint64_t tag, Cursor& cursor) {
        if (tag == FixedTag<uint64_t>(1)) return cursor.Take(8, &view.id);
        if (tag == FixedTag<uint64_t>(2)) return cursor.Take(8, &view.cluster);
        return tag == FixedTag<uint32_t>(3) &&
               cursor.Take(4, &view.deadline_ms);
      },
      [&view](bool is_pull, Cursor& cursor) {
        if (view.push.size() + view.pull.size() >= kSectionsMax) return false;
        auto& sections = is_pull ? view.pull : view.push;
        sections.emplace_back();
        return TakeSection(cursor, sections.back());
      });
}

absl::Status CheckLimits(const RequestView& view) {
  if (view.push.size() + view.pull.size() > kSectionsMax) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "more than ", kSectionsMax, " sections in one request; split it"));
  }
  size_t keys = 0;
  for (const auto* sections : {&view.push, &view.pull}) {
    for (const SectionView& section : *sections) {
      keys += section.keys.size / 8;
      if (section.list.has_value()) keys += section.list->count;
    }
  }
  if (keys > kKeysMax) {
    return absl::ResourceExhaustedError(absl::StrCat(
        keys, " keys in one request; the limit is ", kKeysMax, ": split it"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RequestView> ParseRequest(Rope rope) {
  RequestView view;
  if (!ParseCanonical(rope, view)) {
    view = RequestView();
    PARAMO_RETURN_IF_ERROR(ParseGenerated(rope, view));
    view.canonical = false;
  } else {
    view.rope = std::move(rope);
  }
  PARAMO_RETURN_IF_ERROR(CheckLimits(view));
  return view;
}

Rope EncodeSection(const SectionHeader& header, const Rope& rope,
                   ByteRange keys, ByteRange values,
                   std::shared_ptr<const void> owner) {
  struct Parts {
    std::shared_ptr<const void> owner;
    // Header, then tag and length of the key block; tag and length of the
    // value block. A length takes up to five bytes (kMessageBytesMax).
    uint8_t head[kSectionHeaderBytes + 7];
    uint8_t between[7];
  };
  auto parts = std::make_shared<Parts>();
  parts->owner = std::move(owner);
  uint8_t* head_end = PutSectionHeader(parts->head, header);
  head_end = PutVarint(head_end, BytesTag(kKeysField));
  head_end = PutVarint(head_end, keys.size);
  uint8_t* between_end = PutVarint(parts->between, BytesTag(kValuesField));
  between_end = PutVarint(between_end, values.size);

  Rope::Pieces pieces;
  auto add = [&pieces](const uint8_t* begin, const uint8_t* end) {
    pieces.push_back({begin, static_cast<size_t>(end - begin)});
  };
  add(parts->head, head_end);
  rope.AddPieces(keys.offset, keys.size, pieces);
  add(parts->between, between_end);
  rope.AddPieces(values.offset, values.size, pieces);
  return Rope(std::move(pieces), std::move(parts), rope.pinned_bytes());
}

absl::StatusOr<SectionView> ParseSection(const Rope& rope) {
  SectionView section;
  Cursor cursor(rope);
  if (!TakeSectionBody(cursor, rope.size(), section) ||
      section.list.has_value()) {
    return absl::DataLossError("not a canonical push section");
  }
  return section;
}

absl::Status CheckCrc(const Rope& rope, const SectionView& section) {
  if (!section.header.has(kCrc32c)) return absl::OkStatus();
  uint32_t crc = CrcOfRange(rope, section.keys, 0);
  crc = CrcOfRange(rope, section.values, crc);
  crc = CrcOfHeader(section.header, crc);
  if (crc == section.header.crc32c) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(
      "checksum of the section is wrong (shard ", section.header.shard,
      ", table ", section.header.table,
      "): bytes were damaged on the way; send the same push again"));
}

size_t RequestWriter::AddPush(const SectionHeader& header, size_t keys,
                              size_t value_bytes) {
  PARAMO_CHECK(sections_.empty() || !sections_.back().is_pull);
  sections_.push_back({header, false, 0, {0, keys * 8}, {0, value_bytes}});
  return sections_.size() - 1;
}

size_t RequestWriter::AddPull(const SectionHeader& header, size_t keys) {
  sections_.push_back({header, true, 0, {0, keys * 8}, {0, 0}});
  return sections_.size() - 1;
}

void RequestWriter::SetKeys(const Key* keys,
                            const std::optional<Hash128>& hash) {
  Section& section = sections_.back();
  section.given_keys = reinterpret_cast<const uint8_t*>(keys);
  if (!hash.has_value()) return;
  section.list = {*hash, static_cast<uint32_t>(section.keys.size / 8)};
}

// Without its own tag and length.
size_t RequestWriter::BytesOf(const Section& s) {
  const auto block = [](size_t size) { return 2 + VarintBytes(size) + size; };
  return kSectionHeaderBytes +
         (s.list.has_value() ? kKeyListBytes : block(s.keys.size)) +
         (s.is_pull ? 0 : block(s.values.size));
}

size_t RequestWriter::ByteSize() const {
  size_t bytes = (id_ ? 9 : 0) + (cluster_ ? 9 : 0) + (deadline_ms_ ? 5 : 0);
  for (const Section& s : sections_) {
    size_t body = BytesOf(s);
    bytes += 1 + VarintBytes(body) + body;
  }
  return bytes;
}

void RequestWriter::Allocate(Buffer block) {
  block_ = std::move(block);
  uint8_t* out = block_.data();
  auto offset = [&] { return static_cast<size_t>(out - block_.data()); };
  out = PutFixedUnlessZero(out, 1, id_);
  out = PutFixedUnlessZero(out, 2, cluster_);
  out = PutFixedUnlessZero(out, 3, deadline_ms_);
  for (Section& s : sections_) {
    out = PutVarint(out, BytesTag(s.is_pull ? kPullField : kPushField));
    out = PutVarint(out, BytesOf(s));
    s.header_offset = offset();
    out += kSectionHeaderBytes;
    const auto reserve = [&](int field, ByteRange& block) {
      out = PutVarint(out, BytesTag(field));
      out = PutVarint(out, block.size);
      block.offset = offset();
      out += block.size;
    };
    if (!s.list.has_value()) reserve(kKeysField, s.keys);
    if (!s.is_pull) reserve(kValuesField, s.values);
    if (s.list.has_value()) out = PutKeyList(out, *s.list);
  }
  PARAMO_CHECK(offset() == block_.size());
}

void RequestWriter::Seal(size_t s) {
  Section& section = sections_[s];
  SectionHeader& header = section.header;
  const uint8_t* keys = section.given_keys;
  if (!section.list.has_value()) {
    if (keys != nullptr) std::memcpy(this->keys(s), keys, section.keys.size);
    keys = this->keys(s);
  }
  if (!section.is_pull) {
    Hash128 hash =
        PayloadHash(keys, section.keys.size, values(s), section.values.size);
    header.payload_hash_low = hash.low;
    header.payload_hash_high = hash.high;
  }
  uint32_t crc = Crc32c(keys, section.keys.size);
  crc = Crc32c(values(s), section.values.size, crc);
  header.crc32c = CrcOfHeader(header, crc);
  PutSectionHeader(block_.data() + section.header_offset, header);
}

Message RequestWriter::Take() {
  Message message;
  message.push_back(std::move(block_));
  return message;
}

}  // namespace paramo::wire
