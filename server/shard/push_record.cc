#include "server/shard/push_record.h"

#include <cstring>
#include <utility>

#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/mem/buffer.h"
#include "common/wire/layout.h"
#include "server/shard/decode.h"

namespace paramo {
namespace {

// Whatever is taken can be logged: a section's header, and tag and length of
// its two blocks.
static_assert(kPushBytesMax + wire::kSectionHeaderBytes + 2 * 7 <=
              kLogPayloadBytesMax);

// Keys and rows of a split section's part, one behind the other.
Rope CopyPart(const SectionTask& task, size_t row_bytes) {
  std::string bytes;
  bytes.reserve(task.keys.size() * (sizeof(Key) + row_bytes));
  bytes.append(reinterpret_cast<const char*>(task.keys.data()),
               task.keys.size() * sizeof(Key));
  for (const float* row : task.rows) {
    bytes.append(reinterpret_cast<const char*>(row), row_bytes);
  }
  return Rope::FromString(std::move(bytes));
}

}  // namespace

Rope EncodePush(const SectionTask& task, uint32_t dim) {
  if (!task.decoded) {
    return wire::EncodeSection(task.header(), task.data->rope,
                               task.section.keys, task.section.values,
                               task.data);
  }
  const size_t per_key = task.header().with_pulled() ? 2 : 1;
  auto copy = std::make_shared<const Rope>(
      CopyPart(task, per_key * task.codec->row_bytes(dim)));
  const size_t key_bytes = task.keys.size() * sizeof(Key);
  return wire::EncodeSection(task.header(), *copy, {0, key_bytes},
                             {key_bytes, copy->size() - key_bytes}, copy);
}

absl::Status DecodePush(const Rope& payload,
                        absl::FunctionRef<uint32_t(TableId)> dim_of,
                        SectionTask& task) {
  PARAMO_ASSIGN_OR_RETURN(task.section, wire::ParseSection(payload));
  task.data = std::make_shared<RequestData>();
  task.data->rope = payload;
  const size_t n = task.section.keys.size / sizeof(Key);
  const uint32_t dim = dim_of(task.header().table);
  if (n == 0 || dim == 0) return absl::OkStatus();
  task.data->keys.resize(n);
  task.data->rows.resize(n);
  task.keys = absl::MakeSpan(task.data->keys);
  task.rows = absl::MakeSpan(task.data->rows);
  DecodeError error = DecodeKeyBlock(task);
  if (error.status.ok()) error = DecodeRows(task, dim);
  if (error.status.ok()) return absl::OkStatus();
  return absl::DataLossError(error.status.message());
}

}  // namespace paramo
