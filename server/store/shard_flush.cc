#include "server/store/shard_flush.h"

#include "common/base/check.h"
#include "server/store/record.h"

namespace paramo {

void ShardFlush::Reserve(size_t count, size_t record_bytes) {
  rows.reserve(rows.size() + count);
  arena.reserve(arena.size() + count * record_bytes);
}

void ShardFlush::AddRow(TableId table, absl::string_view record) {
  PARAMO_CHECK(record.size() >= kRecordBytesMin);
  PARAMO_CHECK(record.size() <= UINT32_MAX);
  rows.push_back(RowRecord{table, static_cast<uint32_t>(record.size()),
                           RecordKey(record), arena.size()});
  arena.append(record.data(), record.size());
}

Lsn ShardFlush::RecordLsn(const RowRecord& row) const {
  return paramo::RecordLsn(Record(row));
}

}  // namespace paramo
