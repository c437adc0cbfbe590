#include "tests/sim/disk.h"

#include <algorithm>
#include <cstring>

namespace paramo::sim {
namespace {

// What the log says of one shard.
struct Chain {
  LogPosition start;  // behind the last restart mark
  std::vector<Record> records;
  bool damaged = false;  // what follows the records is lost
};

void Obey(const RecordHeader& header, Chain& chain) {
  if (static_cast<RecordKind>(header.kind) == RecordKind::kRestart) {
    chain.records.clear();
    chain.damaged = false;
    chain.start = {header.lsn, header.previous_crc, header.epoch};
    return;
  }
  if (chain.damaged) return;
  while (!chain.records.empty() && chain.records.back().lsn() > header.lsn) {
    chain.records.pop_back();
  }
}

// The records behind the stored state, as far as they follow from it.
std::vector<Record> Behind(const LogPosition& at, std::vector<Record> records) {
  std::vector<Record> tail;
  LogPosition last = at;
  for (Record& record : records) {
    if (record.lsn() != last.lsn + 1) continue;
    if (record.header.previous_crc != last.crc) break;
    last = {record.lsn(), record.header.crc32c, record.header.epoch};
    tail.push_back(std::move(record));
  }
  return tail;
}

}  // namespace

std::string Disk::Bytes(const Record& record) {
  return std::string(reinterpret_cast<const char*>(&record.header),
                     sizeof(record.header)) +
         record.payload.Flatten();
}

void Disk::LosePower(Loop& loop) {
  log_intact = false;
  if (unsynced() == 0) return;
  log_.resize(synced_ + loop.Between(0, unsynced()));
  if (unsynced() > 0 && loop.Chance(0.3)) {
    constexpr size_t kPage = 512;
    const size_t begin = synced_ + loop.Between(0, unsynced() - 1);
    const size_t end = std::min(begin + kPage, log_.size());
    std::fill(log_.begin() + begin, log_.begin() + end, '\0');
  }
}

bool Disk::SpoilRecord(Loop& loop) {
  std::vector<size_t> records;
  for (size_t at = 0; at + sizeof(RecordHeader) <= log_.size();) {
    RecordHeader header;
    std::memcpy(&header, log_.data() + at, sizeof(header));
    if (!IsMark(header)) records.push_back(at);
    at += sizeof(header) + header.length;
  }
  if (records.empty()) return false;
  bad_.insert(records[loop.Between(0, records.size() - 1)]);
  return true;
}

std::map<ShardId, RestoredReplica> Disk::Recover() {
  std::map<ShardId, Chain> chains;
  size_t at = 0;
  while (log_.size() - at >= sizeof(RecordHeader)) {
    RecordHeader header;
    std::memcpy(&header, log_.data() + at, sizeof(header));
    if (header.length > log_.size() - at - sizeof(header)) break;
    Record record{header, Rope::FromString(
                              log_.substr(at + sizeof(header), header.length))};
    if (!CheckRecord(header, record.payload.pieces())) break;
    Chain& chain = chains[header.shard];
    const bool bad = bad_.count(at) > 0;
    at += sizeof(header) + header.length;
    if (IsMark(header)) {
      Obey(header, chain);
    } else if (bad || chain.damaged) {
      chain.damaged = true;
    } else {
      chain.records.push_back(std::move(record));
    }
  }
  log_.resize(at);
  for (ShardId shard : stopped) {
    store.erase(shard);
    chains[shard].records.clear();
    chains[shard].start = {~Lsn{0}, 0, 0};  // whatever is there is void
    chains[shard].damaged = false;
  }
  stopped.clear();
  std::map<ShardId, RestoredReplica> restored;
  for (const auto& [shard, promise] : promises) {
    restored[shard].promise = promise;
  }
  for (auto& [shard, chain] : chains) {
    RestoredReplica& replica = restored[shard];
    auto stored = store.find(shard);
    if (stored != store.end()) {
      replica.applied = stored->second.at;
      replica.history = stored->second.history;
    }
    const Lsn chain_end =
        chain.records.empty() ? chain.start.lsn : chain.records.back().lsn();
    replica.tail = Behind(replica.applied, std::move(chain.records));
    if (!replica.tail.empty()) {
      replica.history = replica.tail.back().header.history;
    }
    replica.log_damaged = chain.damaged;
    if (chain.damaged) continue;  // the replica begins the log anew
    if (replica.tail.empty() && chain_end != replica.applied.lsn) {
      // The stored state is ahead of the log (or both are gone): the log
      // begins anew behind it.
      const MarkRecord mark =
          MakeMark(RecordKind::kRestart, shard, replica.applied.epoch,
                   replica.history, replica.applied.lsn, replica.applied.crc);
      log_.append(reinterpret_cast<const char*>(&mark.header),
                  sizeof(mark.header));
      log_.append(reinterpret_cast<const char*>(mark.payload),
                  sizeof(mark.payload));
    }
  }
  Sync();
  for (const auto& [shard, stored] : store) {
    RestoredReplica& replica = restored[shard];
    replica.applied = stored.at;
    if (replica.tail.empty()) replica.history = stored.history;
  }
  return restored;
}

}  // namespace paramo::sim
