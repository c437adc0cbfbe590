#include "tests/sim/checker.h"

#include "absl/strings/str_cat.h"

namespace paramo::sim {

bool Checker::OnApply(ShardId shard, uint32_t server, const Record& record,
                      uint64_t id, uint64_t hash) {
  std::vector<Committed>& records = records_[shard];
  const Lsn lsn = record.lsn();
  if (lsn > records.size() + 1) {
    Violation(absl::StrCat("shard ", shard, ": server ", server,
                           " applied lsn ", lsn, " out of order"));
    return false;
  }
  if (lsn == records.size() + 1) {
    records.push_back({record.header.crc32c, hash});
    if (id != 0 && ++applied_[id] > 1) {
      Violation(absl::StrCat("shard ", shard, ": push ", id,
                             " applied twice, again at lsn ", lsn));
    }
    return true;
  }
  Committed& known = records[lsn - 1];
  if (known.hash == 0) known.hash = hash;
  if (known.crc != record.header.crc32c) {
    Violation(absl::StrCat("shard ", shard, ": server ", server,
                           " applied another record ", lsn));
  } else if (hash != 0 && known.hash != hash) {
    Violation(absl::StrCat("shard ", shard, ": server ", server,
                           " differs at lsn ", lsn));
  }
  return false;
}

void Checker::OnAck(ShardId shard, uint32_t server, Epoch term, uint64_t id) {
  ++result_.progress["acks"];
  acked_[id] = shard;
  if (applied_.count(id) == 0) {
    Violation(absl::StrCat("shard ", shard, ": push ", id,
                           " acknowledged by server ", server,
                           " and not applied"));
  }
  const auto [it, first] = acknowledgers_.insert({{shard, term}, server});
  if (it->second != server) {
    Violation(absl::StrCat("shard ", shard, " term ", term, ": servers ",
                           it->second, " and ", server, " acknowledge"));
  }
}

void Checker::OnTruncated(ShardId shard, uint32_t server, Lsn lsn,
                          uint32_t crc) {
  ++result_.progress["records cut"];
  if (lsn <= committed(shard) && CrcOf(shard, lsn) == crc) {
    Violation(absl::StrCat("shard ", shard, ": server ", server,
                           " cut committed record ", lsn));
  }
}

void Checker::OnGivenUp(ShardId shard, uint64_t id) {
  ++result_.progress["given up"];
  given_up_[id] = shard;
}

Lsn Checker::committed(ShardId shard) const {
  auto it = records_.find(shard);
  return it == records_.end() ? 0 : it->second.size();
}

uint32_t Checker::CrcOf(ShardId shard, Lsn lsn) const {
  return records_.at(shard)[lsn - 1].crc;
}

void Checker::CheckLedger() {
  for (const auto& [id, shard] : acked_) {
    auto it = applied_.find(id);
    if (it == applied_.end() || it->second != 1) {
      Violation(absl::StrCat("shard ", shard, ": acknowledged push ", id,
                             " is not there once"));
    }
  }
  for (const auto& [id, shard] : given_up_) {
    if (applied_.count(id) != 0) {
      Violation(absl::StrCat("shard ", shard, ": push ", id,
                             " was given up and applied"));
    }
  }
  result_.progress["pushes applied"] = applied_.size();
}

}  // namespace paramo::sim
