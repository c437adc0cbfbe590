#include "server/log/recovery.h"

#include <cstring>

#include "absl/strings/str_cat.h"

namespace paramo {

LogRecord LogShardRecords::operator[](size_t i) const {
  LogRecord record;
  const uint8_t* bytes = records_[i];
  std::memcpy(&record.header, bytes, sizeof(record.header));
  record.payload = {bytes + sizeof(record.header), record.header.length};
  return record;
}

const LogShardRecords& LogRecovery::Shard(ShardId shard) const {
  const auto found = by_shard_.find(shard);
  return found == by_shard_.end() ? none_ : found->second;
}

absl::Status LogRecovery::DamageOf(ShardId shard) const {
  const auto found = by_shard_.find(shard);
  if (found != by_shard_.end()) return found->second.damage;
  if (last_corruption_.empty()) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("shard ", shard,
                                          " has no record in the log, but it "
                                          "may have had: ",
                                          last_corruption_));
}

}  // namespace paramo
