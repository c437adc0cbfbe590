// TableShard: what a push does.
#include <algorithm>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "server/rule/finite.h"
#include "server/table/gradient.h"
#include "server/table/table_shard.h"

namespace paramo {
namespace {

// Index of the first key of whose `per_key` rows one is not finite; n: none.
size_t FirstNonFinite(const float* const* grads, size_t n, uint32_t dim,
                      uint32_t per_key, const Codec& codec) {
  if (codec.in_place) return FirstNonFiniteRow(grads, n, per_key * dim);
  std::vector<float> row(size_t{per_key} * dim);
  for (size_t i = 0; i < n; ++i) {
    codec.Floats(grads[i], dim, per_key, row.data());
    if (!AllFinite(row.data(), row.size())) return i;
  }
  return n;
}

}  // namespace

absl::Status CheckFinite(const TableConfig& table, absl::Span<const Key> keys,
                         const float* const* grads, bool with_pulled,
                         bool initial, const Codec& codec) {
  if (table.policy != NonFinitePolicy::kReject && !initial) {
    return absl::OkStatus();
  }
  const size_t bad =
      FirstNonFinite(grads, keys.size(), table.dim, with_pulled ? 2 : 1, codec);
  if (bad == keys.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "the gradient of key ", keys[bad], " (row ", bad, " of ", keys.size(),
      ") holds a NaN or an infinity; nothing was applied. Mend the gradient, "
      "or let the table skip such rows or clip them (non_finite)"));
}

absl::Status TableShard::CheckFinite(absl::Span<const Key> keys,
                                     const float* const* grads,
                                     bool with_pulled, bool initial,
                                     const Codec& codec) const {
  return paramo::CheckFinite(config_, keys, grads, with_pulled, initial, codec);
}

absl::Status TableShard::CheckRoom(absl::Span<const Key> keys) const {
  if (rows() + keys.size() <= rows_max_) return absl::OkStatus();
  // Near the limit only the missing keys count. Duplicates count twice: that
  // refuses a little early, within one push of the limit.
  uint64_t missing = 0;
  for (const Key key : keys) {
    missing += Find(key) == nullptr && !IsCold(key) ? 1 : 0;
  }
  if (rows() + missing <= rows_max_) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "shard ", shard_, " holds ", rows(), " rows of this table and may hold ",
      rows_max_, "; ", missing,
      " more do not fit. Use more shards, or fewer "
      "keys"));
}

ApplyResult TableShard::Apply(absl::Span<const Key> keys,
                              const float* const* grads,
                              const PushStamp& stamp) {
  double lr_scale = config_.schedule.Factor(stamp.clock);
  if (config_.staleness_scaling) {
    lr_scale /= 1 + static_cast<double>(stamp.staleness);
  }
  const Update update{
      .stamp = stamp,
      .lr_scale = lr_scale,
      .prepares =
          !stamp.initial && PreparesGradients(config_, stamp.with_pulled)};
  if (update.prepares) prepared_.resize(batch_rows_ * layout_.dim());

  distinct_.Set(keys, grads, layout_.dim(), *stamp.codec);
  // A sum of duplicates has no pulled values behind it, and is no first value.
  PARAMO_CHECK((!stamp.with_pulled && !stamp.initial) ||
               distinct_.keys().size() == keys.size());
  keys = distinct_.keys();
  grads = distinct_.grads();
  ApplyResult result;
  const float* decoded[kBatchRows];
  for (size_t at = 0; at < keys.size(); at += batch_rows_) {
    const absl::Span<const Key> batch = keys.subspan(at, batch_rows_);
    ApplyBatch(batch, Decode(grads + at, batch.size(), stamp, decoded), update,
               &result);
  }
  distinct_.Trim();
  return result;
}

const float* const* TableShard::Decode(const float* const* grads, size_t n,
                                       const PushStamp& stamp,
                                       const float** decoded) {
  if (distinct_.codec().in_place) return grads;
  const uint32_t per_key = stamp.with_pulled ? 2 : 1;
  const size_t width = size_t{per_key} * layout_.dim();
  decoded_.resize(batch_rows_ * width);
  for (size_t i = 0; i < n; ++i) {
    decoded[i] = stamp.codec->Floats(grads[i], layout_.dim(), per_key,
                                     decoded_.data() + i * width);
  }
  return decoded;
}

void TableShard::ApplyBatch(absl::Span<const Key> keys,
                            const float* const* grads, const Update& update,
                            ApplyResult* result) {
  constexpr size_t kRowsAhead = 4;  // of value and slots
  uint32_t numbers[kBatchRows];
  FindBatch(keys, numbers);
  for (size_t i = 0; i < std::min(keys.size(), kRowsAhead); ++i) {
    PrefetchRow(numbers[i], layout_.record_bytes());
  }

  std::byte* rows[kBatchRows];
  const float* row_grads[kBatchRows];
  size_t found = 0;
  for (size_t i = 0; i < keys.size(); ++i) {
    if (i + kRowsAhead < keys.size()) {
      PrefetchRow(numbers[i + kRowsAhead], layout_.record_bytes());
    }
    if (numbers[i] != kNoRow) {
      if (update.stamp.initial) continue;
      rows[found] = arena_.Row(numbers[i]);
      if (update.stamp.replaying &&
          HeaderOf(rows[found]).lsn >= update.stamp.lsn) {
        continue;
      }
      checksum_ -= HashOf(rows[found]);
      row_grads[found] = Prepare(grads[i], rows[found], update, i);
      numbers[found++] = numbers[i];
    } else if (CreateRow(keys[i], grads[i], update, i)) {
      ++result->rows_created;
      ++result->rows_updated;
    } else {
      ++result->rows_skipped;
    }
  }

  bool skipped[kBatchRows] = {};
  const uint32_t skips = config_.rule->Apply({.dim = layout_.dim(),
                                              .rows = rows,
                                              .grads = row_grads,
                                              .n = found,
                                              .lr_scale = update.lr_scale,
                                              .skipped = skipped});
  for (size_t i = 0; i < found; ++i) {
    if (!skipped[i]) Touch(numbers[i], update.stamp);
    checksum_ += HashOf(rows[i]);
  }
  result->rows_skipped += skips;
  result->rows_updated += static_cast<uint32_t>(found) - skips;
}

// The gradient as the rule is to see it; `position` within the batch.
const float* TableShard::Prepare(const float* grad, const std::byte* row,
                                 const Update& update, size_t position) {
  if (!update.prepares) return grad;
  const uint32_t dim = layout_.dim();
  const auto* behind = reinterpret_cast<const float*>(
      reinterpret_cast<const std::byte*>(grad) + layout_.value_bytes());
  float* prepared = prepared_.data() + position * dim;
  PrepareGradient(config_,
                  {.grad = grad,
                   .pulled = update.stamp.with_pulled ? behind : nullptr,
                   .value = ValueOf(row)},
                  dim, prepared);
  return prepared;
}

// The row is linked only when its first update has succeeded: a gradient that
// is refused leaves nothing behind.
bool TableShard::CreateRow(Key key, const float* grad, const Update& update,
                           size_t position) {
  PARAMO_CHECK(!IsCold(key));
  if (rows() >= rows_max_) return false;
  const uint32_t number = TakeRow();
  std::byte* row = arena_.Row(number);
  HeaderOf(row) = RowHeader{.key = key,
                            .lsn = 0,
                            .last_use = 0,
                            .count = 0,
                            .snapshot_generation = 0,
                            .step = 0};
  if (update.stamp.initial) {
    std::memcpy(ValueOf(row), grad, layout_.value_bytes());
  } else {
    config_.initializer.Fill(config_.seed, key, ValueOf(row), layout_.dim());
  }
  std::memset(row + layout_.slots_offset(), 0,
              layout_.record_bytes() - layout_.slots_offset());
  grad = Prepare(grad, row, update, position);
  const RuleBatch batch{.dim = layout_.dim(),
                        .rows = &row,
                        .grads = &grad,
                        .n = 1,
                        .lr_scale = update.lr_scale};
  if (!update.stamp.initial && config_.rule->Apply(batch) != 0) {
    arena_.Free(number);
    return false;
  }
  Link(key, number);
  Touch(number, update.stamp);
  checksum_ += HashOf(row);
  return true;
}

void TableShard::Touch(uint32_t row, const PushStamp& stamp) {
  RowHeader& header = HeaderOf(arena_.Row(row));
  header.lsn = stamp.lsn;
  newest_lsn_ = std::max(newest_lsn_, stamp.lsn);
  header.last_use = stamp.last_use;
  if (header.count != std::numeric_limits<uint32_t>::max()) ++header.count;
  SetDirty(row);
}

}  // namespace paramo
