#include "common/wire/reply.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/hash/crc32c.h"
#include "common/wire/checksum.h"
#include "common/wire/generated.h"
#include "common/wire/layout.h"

namespace paramo::wire {
namespace {

constexpr int kParkedField = 9;  // of Reply
constexpr int kMessageField = 17;
constexpr int kValuesField = 18;
constexpr int kRedirectsField = 19;

bool TakeSectionReply(Cursor& cursor, SectionReplyView& section) {
  size_t end;
  if (!TakeHeader<kSectionReplyHeaderBytes>(
          cursor, end, section.header,
          [](auto& header, auto visit) { VisitSectionReply(header, visit); })) {
    return false;
  }
  if (cursor.offset() < end &&
      !TakeBlock(cursor, kValuesField, section.values)) {
    return false;
  }
  return cursor.offset() == end;
}

// False for refusals and hellos, which are rare, and for what is not canonical.
bool ParseCanonical(const Rope& rope, ReplyView& view) {
  return WalkCanonical(
      rope,
      [&view](uint64_t tag, Cursor& cursor) {
        if (tag == FixedTag<uint64_t>(1)) return cursor.Take(8, &view.id);
        if (tag == FixedTag<uint32_t>(kParkedField)) {
          return cursor.Take(4, &view.parked_us);
        }
        return tag == FixedTag<uint64_t>(4) &&
               cursor.Take(8, &view.state_version);
      },
      [&view](bool is_pull, Cursor& cursor) {
        if (view.push.size() + view.pull.size() >= kSectionsMax) return false;
        auto& sections = is_pull ? view.pull : view.push;
        sections.emplace_back();
        return TakeSectionReply(cursor, sections.back());
      });
}

// Bytes of a block field with tag and length; 17 to 19 all take a 2-byte tag.
size_t BlockBytes(size_t size) { return 2 + VarintBytes(size) + size; }

size_t RedirectBytes(const Redirect& redirect) {
  size_t bytes = 0;
  if (redirect.shard != 0) bytes += 1 + VarintBytes(redirect.shard);
  if (!redirect.address.empty()) {
    bytes += 1 + VarintBytes(redirect.address.size()) + redirect.address.size();
  }
  return bytes;
}

size_t BodyBytes(const SectionReply& reply, bool with_values, size_t values) {
  size_t bytes = kSectionReplyHeaderBytes;
  if (!reply.message.empty()) bytes += BlockBytes(reply.message.size());
  if (with_values) bytes += BlockBytes(values);
  for (const Redirect& redirect : reply.redirects) {
    bytes += BlockBytes(RedirectBytes(redirect));
  }
  return bytes;
}

uint8_t* PutBlock(uint8_t* out, int field, const void* data, size_t size) {
  out = PutVarint(out, BytesTag(field));
  out = PutVarint(out, size);
  std::memcpy(out, data, size);
  return out + size;
}

uint8_t* PutRedirect(uint8_t* out, const Redirect& redirect) {
  out = PutVarint(out, BytesTag(kRedirectsField));
  out = PutVarint(out, RedirectBytes(redirect));
  if (redirect.shard != 0) {
    *out++ = 1 << 3;  // varint field 1
    out = PutVarint(out, redirect.shard);
  }
  if (!redirect.address.empty()) {
    out = PutBlock(out, 2, redirect.address.data(), redirect.address.size());
  }
  return out;
}

// Bytes of the fields before the sections.
size_t PrefixBytes(uint64_t id, uint64_t state_version) {
  return (id ? 9 : 0) + (state_version ? 9 : 0);
}
uint8_t* PutPrefix(uint8_t* out, uint64_t id, uint64_t state_version) {
  out = PutFixedUnlessZero(out, 1, id);
  return PutFixedUnlessZero(out, 4, state_version);
}

uint8_t* PutSection(uint8_t* out, int field, const SectionReply& reply,
                    const uint8_t* values, size_t value_bytes) {
  bool with_values = values != nullptr;
  out = PutVarint(out, BytesTag(field));
  out = PutVarint(out, BodyBytes(reply, with_values, value_bytes));
  out = PutSectionReplyHeader(out, reply.header);
  if (!reply.message.empty()) {
    out = PutBlock(out, kMessageField, reply.message.data(),
                   reply.message.size());
  }
  if (with_values) out = PutBlock(out, kValuesField, values, value_bytes);
  for (const Redirect& redirect : reply.redirects) {
    out = PutRedirect(out, redirect);
  }
  return out;
}

}  // namespace

absl::StatusOr<ReplyView> ParseReply(Rope rope) {
  ReplyView view;
  if (!ParseCanonical(rope, view)) {
    view = ReplyView();
    PARAMO_RETURN_IF_ERROR(ParseGenerated(rope, view));
  } else {
    view.rope = std::move(rope);
  }
  return view;
}

uint64_t PeekId(const Rope& rope) {
  Cursor cursor(rope);
  uint8_t tag;
  uint64_t id = 0;
  if (!cursor.Take(1, &tag) || tag != FixedTag<uint64_t>(1)) return 0;
  return cursor.Take(sizeof(id), &id) ? id : 0;
}

absl::Status CheckCrc(const Rope& rope, const SectionReplyView& section) {
  if (section.header.crc32c == CrcOfRange(rope, section.values, 0)) {
    return absl::OkStatus();
  }
  return absl::DataLossError(
      absl::StrCat("checksum of pulled rows is wrong (shard ",
                   section.header.shard, "): pull again"));
}

// The block is laid out for the common case: every section one header, every
// pull answered.
ReplyWriter::ReplyWriter(uint64_t id, uint64_t state_version, size_t push_count,
                         absl::Span<const size_t> pull_value_bytes)
    : id_(id), state_version_(state_version) {
  constexpr size_t kPushBytes =
      1 + VarintBytes(kSectionReplyHeaderBytes) + kSectionReplyHeaderBytes;
  size_t at = PrefixBytes(id, state_version) + push_count * kPushBytes;
  values_.reserve(pull_value_bytes.size());
  for (size_t bytes : pull_value_bytes) {
    size_t body = kSectionReplyHeaderBytes + BlockBytes(bytes);
    at += 1 + VarintBytes(body) + body;
    values_.push_back({at - bytes, bytes});
  }
  block_ = Buffer(at);
}

Message ReplyWriter::Take(absl::Span<SectionReply> push,
                          absl::Span<SectionReply> pull, uint32_t parked_us) {
  PARAMO_CHECK(pull.size() == values_.size());
  size_t total = PrefixBytes(id_, state_version_);
  for (const SectionReply& reply : push) {
    size_t body = BodyBytes(reply, false, 0);
    total += 1 + VarintBytes(body) + body;
  }
  for (size_t i = 0; i < pull.size(); ++i) {
    bool answered = pull[i].header.code == 0;
    size_t body = BodyBytes(pull[i], answered, values_[i].size);
    total += 1 + VarintBytes(body) + body;
    if (answered) {
      pull[i].header.crc32c = Crc32c(values(i), values_[i].size);
    }
  }

  // Rows already lie where they belong unless some section has more or less
  // to say than planned; the whole is then laid out anew.
  bool as_planned = total == block_.size();
  for (const SectionReply& reply : push) as_planned &= reply.message.empty();
  for (const SectionReply& reply : pull) as_planned &= reply.header.code == 0;
  Buffer fresh;
  if (!as_planned) fresh = Buffer(total);
  uint8_t* out = as_planned ? block_.data() : fresh.data();
  out = PutPrefix(out, id_, state_version_);
  for (const SectionReply& reply : push) {
    out = PutSection(out, kPushField, reply, nullptr, 0);
  }
  for (size_t i = 0; i < pull.size(); ++i) {
    if (as_planned) {
      size_t body = BodyBytes(pull[i], true, values_[i].size);
      out = PutVarint(out, BytesTag(kPullField));
      out = PutVarint(out, body);
      out = PutSectionReplyHeader(out, pull[i].header);
      out = PutVarint(out, BytesTag(kValuesField));
      out = PutVarint(out, values_[i].size);
      PARAMO_CHECK(out == values(i));
      out += values_[i].size;
    } else {
      bool answered = pull[i].header.code == 0;
      out = PutSection(out, kPullField, pull[i], answered ? values(i) : nullptr,
                       values_[i].size);
    }
  }
  Message message;
  message.push_back(as_planned ? std::move(block_) : std::move(fresh));
  if (parked_us != 0) {
    Buffer tail(1 + sizeof(parked_us));
    PutFixedUnlessZero(tail.data(), kParkedField, parked_us);
    message.push_back(std::move(tail));
  }
  return message;
}

}  // namespace paramo::wire
