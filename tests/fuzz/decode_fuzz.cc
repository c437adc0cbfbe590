// Keys and rows of one section. The last bytes choose dimension, shards,
// flags, codec, the cut into pieces and the size of the key block; the rest is
// the section's two blocks. Oracle: what is accepted has the size that its
// header says, and is the bytes of the message.
#include "server/shard/decode.h"

#include <cmath>

#include "common/routing/routing.h"
#include "tests/fuzz/fuzz_input.h"

namespace paramo {
namespace {

void CheckKeys(const SectionTask& task, const std::string& bytes,
               uint32_t shard_count) {
  PARAMO_CHECK(task.section.keys.size % 8 == 0);
  for (size_t i = 0; i < task.keys.size(); ++i) {
    PARAMO_CHECK(std::memcmp(&task.keys[i], bytes.data() + 8 * i, 8) == 0);
    PARAMO_CHECK(ShardOf(task.header().table, task.keys[i], shard_count) ==
                 task.header().shard);
  }
}

// In vectors as alone; and what is finite stays so when it is encoded again.
void CheckDecoded(const Codec& codec, const float* row, uint32_t dim) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(row);
  std::vector<float> vector(dim), scalar(dim);
  codec.decode(bytes, dim, vector.data());
  codec.decode_scalar(bytes, dim, scalar.data());
  PARAMO_CHECK(std::memcmp(vector.data(), scalar.data(), 4 * dim) == 0);
  std::vector<uint8_t> again(codec.row_bytes(dim));
  codec.encode(vector.data(), dim, 0, again.data());
  codec.decode(again.data(), dim, scalar.data());
  for (uint32_t i = 0; i < dim; ++i) {
    if (!std::isfinite(vector[i])) return;
  }
  for (float value : scalar) PARAMO_CHECK(std::isfinite(value));
}

void CheckRows(const SectionTask& task, const std::string& bytes,
               uint32_t dim) {
  const Codec& codec = *task.codec;
  PARAMO_CHECK(task.header().codec == codec.id);
  const uint32_t per_key = task.header().with_pulled() ? 2 : 1;
  const size_t row_bytes = per_key * codec.row_bytes(dim);
  PARAMO_CHECK(task.section.values.size == task.keys.size() * row_bytes);
  for (size_t i = 0; i < task.rows.size(); ++i) {
    PARAMO_CHECK(
        std::memcmp(task.rows[i],
                    bytes.data() + task.section.values.offset + i * row_bytes,
                    row_bytes) == 0);
    CheckDecoded(codec, task.rows[i], dim);
  }
}

}  // namespace
}  // namespace paramo

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace paramo;
  fuzz::Input input(data, size);
  TableConfig table;
  table.dim = static_cast<uint32_t>(1 + input.Choice(9));
  table.delay_compensation = static_cast<float>(input.Choice(2));
  const uint32_t shard_count = 1u << input.Choice(3);
  SectionTask task(nullptr);
  task.section.header.table = 1;
  task.section.header.shard = static_cast<uint32_t>(input.Choice(4));
  task.section.header.flags = static_cast<uint32_t>(input.Choice(8));
  task.section.header.codec = static_cast<uint32_t>(input.Choice(6));
  const size_t piece = 1 + input.Choice(64);
  const size_t key_bytes = input.Choice(256);
  const std::string bytes = input.Rest();

  task.data = std::make_shared<RequestData>();
  task.data->rope = fuzz::Sliced(bytes, piece);
  task.section.keys = {0, std::min(key_bytes, bytes.size())};
  task.section.values = {task.section.keys.size,
                         bytes.size() - task.section.keys.size};
  const size_t n = task.section.keys.size / 8;
  task.data->keys.resize(n);
  task.data->rows.resize(n);
  task.keys = absl::MakeSpan(task.data->keys);
  task.rows = absl::MakeSpan(task.data->rows);

  if (!DecodeKeys(task, shard_count).status.ok()) return 0;
  CheckKeys(task, bytes, shard_count);
  const bool extras_fit = CheckExtras(task, table).status.ok();
  if (extras_fit && (task.header().with_pulled() || task.header().initial())) {
    PARAMO_CHECK(std::adjacent_find(task.keys.begin(), task.keys.end(),
                                    std::greater_equal<Key>()) ==
                 task.keys.end());
  }
  if (!DecodeRows(task, table.dim).status.ok()) return 0;
  CheckRows(task, bytes, table.dim);
  return 0;
}
