#include "client/core/wire_request.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/hash/hash128.h"
#include "common/wire/request.h"

namespace paramo::client {
namespace {

using wire::Reason;

// ---- Writing ----------------------------------------------------------------

// Floats of the caller's row `position`: dim, or fewer at a tensor's end.
size_t RowFloats(size_t floats, uint32_t dim, uint32_t position) {
  return std::min<size_t>(dim, floats - size_t{position} * dim);
}

void AddTo(float* sum, const float* row, size_t floats) {
  for (size_t i = 0; i < floats; ++i) sum[i] += row[i];
}

// The keys of the sections, one list behind the other.
std::vector<Key> ListKeys(const Outgoing& out) {
  const Call& call = *out.call;
  size_t count = 0;
  for (const Outgoing::Section& section : out.sections) {
    const Parcel& parcel = call.parcels[section.parcel];
    count += parcel.end - parcel.begin;
  }
  std::vector<Key> keys;
  keys.reserve(count);
  for (const Outgoing::Section& section : out.sections) {
    const Parcel& parcel = call.parcels[section.parcel];
    for (uint32_t u = parcel.begin; u < parcel.end; ++u) {
      const Part& part = call.parts[parcel.part];
      keys.push_back(part.KeyAt(part.split->First(u)));
    }
  }
  return keys;
}

// Whether the section's list goes as its hash, and as which.
std::optional<Hash128> HashToSend(std::span<const Key> list, bool again,
                                  SentLists& sent) {
  if (list.size() < kKeyListKeysMin || list.size() > kKeyListKeysMax) return {};
  const Hash128 hash = HashBytes128(list.data(), list.size_bytes());
  if (!sent.GoesAsHash(hash, again)) return {};
  return hash;
}

// Rows of the caller's as they are sent: filled up with zeros at a tensor's
// end, those of equal keys summed.
class RowWriter {
 public:
  RowWriter(const Codec& codec, uint32_t dim)
      : codec_(codec), dim_(dim), row_(dim) {}

  uint8_t* Write(std::span<const float> rows,
                 std::span<const uint32_t> positions, uint64_t seed,
                 uint8_t* out) {
    codec_.encode(RowOf(rows, positions), dim_, seed, out);
    return out + codec_.row_bytes(dim_);
  }

 private:
  // Nearly always a row as it lies in the caller's memory.
  const float* RowOf(std::span<const float> rows,
                     std::span<const uint32_t> positions) {
    const float* first = rows.data() + size_t{positions[0]} * dim_;
    const size_t floats = RowFloats(rows.size(), dim_, positions[0]);
    if (floats == dim_ && positions.size() == 1) return first;
    std::copy_n(first, floats, row_.begin());
    std::fill(row_.begin() + static_cast<ptrdiff_t>(floats), row_.end(), 0.0f);
    for (uint32_t position : positions.subspan(1)) {
      AddTo(row_.data(), rows.data() + size_t{position} * dim_, dim_);
    }
    return row_.data();
  }

  const Codec& codec_;
  const uint32_t dim_;
  std::vector<float> row_;
};

void WriteValues(const Part& part, const Parcel& parcel,
                 const wire::SectionHeader& header, uint8_t* out) {
  RowWriter writer(*part.codec, part.dim());
  for (uint32_t u = parcel.begin; u < parcel.end; ++u) {
    const std::span<const uint32_t> positions = part.split->Positions(u);
    const uint64_t seed =
        CodecSeed(header.session, header.seq, part.KeyAt(positions[0]));
    out = writer.Write(part.grads, positions, seed, out);
    if (part.pulled.empty()) continue;
    out = writer.Write(part.pulled, positions.first(1), /*seed=*/0, out);
  }
}

// ---- Reading ----------------------------------------------------------------

// Copies consecutive bytes out of a rope.
class RopeReader {
 public:
  RopeReader(const Rope& rope, size_t offset) : rope_(rope) {
    while (piece_ < rope_.pieces().size() &&
           offset >= rope_.pieces()[piece_].size) {
      offset -= rope_.pieces()[piece_++].size;
    }
    offset_ = offset;
  }

  void Read(void* out, size_t size) {
    auto* to = static_cast<uint8_t*>(out);
    while (size > 0) {
      const Piece& piece = rope_.pieces()[piece_];
      const size_t take = std::min(size, piece.size - offset_);
      std::memcpy(to, piece.data + offset_, take);
      to += take;
      size -= take;
      offset_ += take;
      if (offset_ == piece.size) {
        ++piece_;
        offset_ = 0;
      }
    }
  }

  // The next scratch.size() bytes: where they lie, or copied to `scratch`.
  const uint8_t* Take(std::span<uint8_t> scratch) {
    const Piece& piece = rope_.pieces()[piece_];
    if (piece.size - offset_ <= scratch.size()) {
      Read(scratch.data(), scratch.size());
      return scratch.data();
    }
    offset_ += scratch.size();
    return piece.data + offset_ - scratch.size();
  }

  void Skip(size_t size) {
    while (size > 0) {
      const size_t take = std::min(size, rope_.pieces()[piece_].size - offset_);
      size -= take;
      offset_ += take;
      if (offset_ == rope_.pieces()[piece_].size) {
        ++piece_;
        offset_ = 0;
      }
    }
  }

 private:
  const Rope& rope_;
  size_t piece_ = 0;
  size_t offset_ = 0;
};

// Rows in `codec` are decoded into the caller's, whole or cut at a tensor's
// end.
void TakeRows(const Rope& rope, wire::ByteRange values, const Codec& codec,
              const Part& part, const Parcel& parcel) {
  RopeReader reader(rope, values.offset);
  const uint32_t dim = part.dim();
  std::vector<uint8_t> encoded(codec.row_bytes(dim));
  std::vector<float> decoded(dim);
  for (uint32_t u = parcel.begin; u < parcel.end; ++u) {
    const std::span<const uint32_t> positions = part.split->Positions(u);
    float* row = part.rows.data() + size_t{positions[0]} * dim;
    const size_t floats = RowFloats(part.rows.size(), dim, positions[0]);
    if (codec.in_place) {
      reader.Read(row, 4 * floats);
      if (floats < dim) reader.Skip(4 * (dim - floats));
    } else {
      const uint8_t* bytes = reader.Take(encoded);
      codec.decode(bytes, dim, floats == dim ? row : decoded.data());
      if (floats < dim) std::copy_n(decoded.data(), floats, row);
    }
    for (size_t i = 1; i < positions.size(); ++i) {
      std::memcpy(part.rows.data() + size_t{positions[i]} * dim, row,
                  4 * floats);
    }
  }
}

SectionResult Failed(absl::StatusCode code, Reason reason,
                     std::string message) {
  SectionResult result;
  result.header.code = static_cast<uint32_t>(code);
  result.header.reason = static_cast<uint32_t>(reason);
  result.message = std::move(message);
  result.answered = false;
  return result;
}

SectionResult ReadSection(const wire::ReplyView& reply,
                          const wire::SectionReplyView& section,
                          const Call& call, const Parcel& parcel) {
  SectionResult result;
  result.header = section.header;
  result.message = section.message;
  if (section.header.code != 0) return result;
  if (section.header.shard != parcel.shard) {
    return Failed(
        absl::StatusCode::kInternal, Reason::kMalformed,
        absl::StrCat("the server answered for shard ", section.header.shard,
                     " instead of ", parcel.shard));
  }
  if (!parcel.is_pull) return result;
  const Part& part = call.parts[parcel.part];
  const size_t wanted = part.value_bytes() * (parcel.end - parcel.begin);
  if (section.values.size != wanted || section.header.codec != part.codec->id) {
    return Failed(
        absl::StatusCode::kInternal, Reason::kDimensions,
        absl::StrCat("the server answered a pull with ", section.values.size,
                     " bytes in codec ", section.header.codec, " instead of ",
                     wanted, " bytes in ", part.codec->name));
  }
  if (absl::Status crc = wire::CheckCrc(reply.rope, section); !crc.ok()) {
    return Failed(absl::StatusCode::kDataLoss, Reason::kChecksum,
                  "the rows were damaged on the way here");
  }
  TakeRows(reply.rope, section.values, *part.codec, part, parcel);
  return result;
}

// What the server is told. A pull that it makes wait for other workers it
// answers at its deadline, with whom it waits for; that should come before
// ours.
uint32_t ServerDeadlineMs(const Outgoing& out) {
  constexpr int64_t kAheadMs = 50;  // an answer's way on a busy machine
  int64_t ms = absl::ToInt64Milliseconds(out.timeout);
  if (!out.call->is_push) ms -= std::min(ms / 8, kAheadMs);
  return static_cast<uint32_t>(std::clamp<int64_t>(ms, 1, kDeadlineMaxMs));
}

}  // namespace

size_t ReplyBytes(const Outgoing& out) {
  // Its own fields and its seal: docs/formats/wire.md.
  constexpr size_t kFieldBytes = 2 * 9 + 5 + 5;
  const auto is_pull = [&out](const Outgoing::Section& section) {
    return out.call->parcels[section.parcel].is_pull;
  };
  const auto& sections = out.sections;
  if (std::none_of(sections.begin(), sections.end(), is_pull)) return 0;
  size_t bytes = kFieldBytes;
  for (const Outgoing::Section& section : sections)
    bytes += is_pull(section) ? out.call->parcels[section.parcel].bytes
                              : kSectionBytes;
  return bytes;
}

Message WriteRequest(const Outgoing& out, uint64_t id, uint64_t cluster_id,
                     SentLists& sent,
                     const std::function<Buffer(size_t bytes)>& make_block) {
  const Call& call = *out.call;
  const std::vector<Key> keys = ListKeys(out);
  const Key* next = keys.data();
  wire::RequestWriter writer(id, cluster_id, ServerDeadlineMs(out));
  for (const Outgoing::Section& section : out.sections) {
    const Parcel& parcel = call.parcels[section.parcel];
    const size_t rows = parcel.end - parcel.begin;
    if (parcel.is_pull) {
      writer.AddPull(section.header, rows);
    } else {
      const size_t row_bytes = parcel.part == Parcel::kNoPart
                                   ? 0
                                   : call.parts[parcel.part].value_bytes();
      writer.AddPush(section.header, rows, rows * row_bytes);
    }
    writer.SetKeys(next, HashToSend({next, rows}, section.again, sent));
    next += rows;
  }
  writer.Allocate(make_block(writer.ByteSize()));
  for (size_t s = 0; s < out.sections.size(); ++s) {
    const Parcel& parcel = call.parcels[out.sections[s].parcel];
    if (!parcel.is_pull && parcel.begin != parcel.end) {
      WriteValues(call.parts[parcel.part], parcel, out.sections[s].header,
                  writer.values(s));
    }
    writer.Seal(s);
  }
  return writer.Take();
}

std::vector<SectionResult> ReadReply(const wire::ReplyView& reply,
                                     const Claimed& claimed) {
  if (reply.code != 0) {
    SectionResult failed =
        Failed(static_cast<absl::StatusCode>(reply.code),
               static_cast<Reason>(reply.reason), reply.message);
    failed.header.retry_after_ms = reply.retry_after_ms;
    return std::vector<SectionResult>(claimed.parcels.size(), failed);
  }
  std::vector<SectionResult> results;
  results.reserve(claimed.parcels.size());
  size_t push = 0;
  size_t pull = 0;
  for (size_t i = 0; i < claimed.parcels.size(); ++i) {
    const Parcel& parcel = claimed.call->parcels[claimed.parcels[i]];
    const auto& sections = parcel.is_pull ? reply.pull : reply.push;
    size_t& next = parcel.is_pull ? pull : push;
    if (next >= sections.size()) {
      results.push_back(Failed(absl::StatusCode::kInternal, Reason::kMalformed,
                               "the server's reply lacks a section"));
      continue;
    }
    const wire::SectionReplyView& section = sections[next++];
    if (claimed.wanted[i]) {
      results.push_back(ReadSection(reply, section, *claimed.call, parcel));
    } else {
      results.emplace_back();
    }
  }
  return results;
}

}  // namespace paramo::client
