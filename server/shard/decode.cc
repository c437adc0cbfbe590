#include "server/shard/decode.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/codec/codec.h"
#include "common/routing/routing.h"

namespace paramo {
namespace {

DecodeError Wrong(wire::Reason reason, std::string message) {
  return {absl::InvalidArgumentError(message), reason};
}

// Points rows[0..n) at the rows of a block of `row_bytes` each that begins at
// `offset`. Returns how many rows straddle a seam; their addresses are null.
size_t PointAtRows(const Rope& rope, size_t offset, size_t row_bytes,
                   absl::Span<const float*> rows) {
  size_t seams = 0;
  size_t piece_start = 0;
  size_t row = 0;
  for (const Piece& piece : rope.pieces()) {
    size_t piece_end = piece_start + piece.size;
    for (; row < rows.size(); ++row) {
      size_t at = offset + row * row_bytes;
      if (at >= piece_end) break;
      if (at + row_bytes <= piece_end) {
        rows[row] =
            reinterpret_cast<const float*>(piece.data + (at - piece_start));
      } else {
        rows[row] = nullptr;
        ++seams;
      }
    }
    piece_start = piece_end;
  }
  return seams;
}

// Whether each row, or both rows of a key, are such as the codec makes.
DecodeError CheckRows(const SectionTask& task, uint32_t dim, size_t per_key) {
  const Codec& codec = *task.codec;
  if (codec.valid == nullptr) return {};
  for (size_t i = 0; i < task.rows.size(); ++i) {
    const auto* row = reinterpret_cast<const uint8_t*>(task.rows[i]);
    for (size_t at = 0; at < per_key; ++at, row += codec.row_bytes(dim)) {
      if (codec.valid(row, dim)) continue;
      return Wrong(wire::Reason::kCodec,
                   absl::StrCat("the values of key ", task.keys[i], " (row ", i,
                                " of ", task.rows.size(), ") are no row in ",
                                codec.name, "; see docs/formats/codecs.md"));
    }
  }
  return {};
}

}  // namespace

DecodeError DecodeKeyBlock(SectionTask& task) {
  if (task.section.keys.size % sizeof(Key) != 0) {
    return Wrong(wire::Reason::kKeys,
                 absl::StrCat("key block of ", task.section.keys.size,
                              " bytes is not a multiple of 8; keys are u64, "
                              "little-endian"));
  }
  task.data->rope.Copy(task.section.keys.offset, task.section.keys.size,
                       task.keys.data());
  return {};
}

DecodeError DecodeKeys(SectionTask& task, uint32_t shard_count) {
  if (task.decoded) return {};
  DecodeError error = DecodeKeyBlock(task);
  if (!error.status.ok()) return error;
  const wire::SectionHeader& header = task.header();
  for (Key key : task.keys) {
    ShardId shard = ShardOf(header.table, key, shard_count);
    if (shard != header.shard) {
      return Wrong(wire::Reason::kKeys,
                   absl::StrCat("key ", key, " of table ", header.table,
                                " belongs to shard ", shard, ", not ",
                                header.shard, "; see docs/formats/routing.md"));
    }
  }
  return {};
}

DecodeError CheckExtras(const SectionTask& task, const TableConfig& table) {
  const bool pulled = task.header().with_pulled();
  const bool initial = task.header().initial();
  if (!pulled && !initial) return {};
  if (pulled && initial) {
    return Wrong(wire::Reason::kUnsupported,
                 "first values of rows are no gradients: they come without "
                 "pulled values");
  }
  if (pulled && table.delay_compensation == 0) {
    return Wrong(wire::Reason::kUnsupported,
                 absl::StrCat("table ", table.name,
                              " has no delay "
                              "compensation, so it takes no pulled values: set "
                              "delay_compensation, or push gradients alone"));
  }
  for (size_t i = 1; i < task.keys.size(); ++i) {
    if (task.keys[i - 1] < task.keys[i]) continue;
    return Wrong(wire::Reason::kKeys,
                 "keys that come with pulled values, or with first ones, must "
                 "be strictly ascending: no duplicates, sorted");
  }
  return {};
}

DecodeError DecodeRows(SectionTask& task, uint32_t dim) {
  if (task.decoded) return {};
  auto codec = FindCodec(task.header().codec);
  if (!codec.ok()) return {codec.status(), wire::Reason::kCodec};
  task.codec = *codec;
  const size_t per_key = task.header().with_pulled() ? 2 : 1;
  const size_t row_bytes = per_key * (*codec)->row_bytes(dim);
  // No overflow: keys are bounded by kKeysMax and dim by kDimMax.
  size_t expected = task.keys.size() * row_bytes;
  if (task.section.values.size != expected) {
    return Wrong(
        wire::Reason::kDimensions,
        absl::StrCat(
            "value block has ", task.section.values.size, " bytes; ",
            task.keys.size(), " keys of dim ", dim,
            task.header().with_pulled() ? " and their pulled values" : "",
            " in ", (*codec)->name, " take ", expected));
  }
  size_t seams = PointAtRows(task.data->rope, task.section.values.offset,
                             row_bytes, task.rows);
  if (seams > 0) {
    task.seams = std::shared_ptr<uint8_t[]>(new uint8_t[seams * row_bytes]);
  }
  uint8_t* copy = task.seams.get();
  for (size_t i = 0; seams > 0 && i < task.rows.size(); ++i) {
    if (task.rows[i] != nullptr) continue;
    task.data->rope.Copy(task.section.values.offset + i * row_bytes, row_bytes,
                         copy);
    task.rows[i] = reinterpret_cast<const float*>(copy);
    copy += row_bytes;
  }
  return CheckRows(task, dim, per_key);
}

}  // namespace paramo
