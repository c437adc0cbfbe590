#include "tests/sim/checker.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace paramo::sim {

bool Checker::OnApply(const Past& past, uint32_t server, const Record& record,
                      uint64_t id, uint64_t hash) {
  const Lsn lsn = record.lsn();
  Chain& chain = ChainOf(past, server, lsn);
  std::vector<Committed>& records = chain.records;
  if (lsn > records.size() + 1) {
    Violation(absl::StrCat("shard ", past.shard, ": server ", server,
                           " applied lsn ", lsn, " out of order"));
    return false;
  }
  if (lsn == records.size() + 1) {
    Append(chain, past, {record.header.crc32c, hash, id});
    return true;
  }
  Committed& known = records[lsn - 1];
  if (known.hash == 0) known.hash = hash;
  if (known.crc != record.header.crc32c) {
    Violation(absl::StrCat("shard ", past.shard, ": server ", server,
                           " applied another record ", lsn));
  } else if (hash != 0 && known.hash != hash) {
    Violation(absl::StrCat("shard ", past.shard, ": server ", server,
                           " differs at lsn ", lsn));
  }
  return false;
}

// Who applies first in a history is its base: what it has of another one up to
// there is this one's too.
Checker::Chain& Checker::ChainOf(const Past& past, uint32_t server, Lsn lsn) {
  HistoryId& holds = holds_[{past.shard, server}];
  const auto [it, first] = chains_.try_emplace(past);
  const auto before = chains_.find({past.shard, holds});
  holds = past.history;
  if (!first || before == chains_.end()) return it->second;
  const std::vector<Committed>& records = before->second.records;
  for (size_t i = 0; i < std::min<size_t>(lsn - 1, records.size()); ++i) {
    Append(it->second, past, records[i]);
  }
  return it->second;
}

void Checker::Append(Chain& chain, const Past& past, const Committed& record) {
  chain.records.push_back(record);
  if (record.id == 0 || chain.pushes.insert(record.id).second) return;
  Violation(absl::StrCat("shard ", past.shard, ": push ", record.id,
                         " applied twice, again at lsn ",
                         chain.records.size()));
}

void Checker::OnHolds(const Past& past, uint32_t server) {
  holds_[{past.shard, server}] = past.history;
}

void Checker::OnAck(const Past& past, uint32_t server, Epoch term,
                    uint64_t id) {
  ++result_.progress["acks"];
  acked_[id] = past;
  if (chains_[past].pushes.count(id) == 0) {
    Violation(absl::StrCat("shard ", past.shard, ": push ", id,
                           " acknowledged by server ", server,
                           " and not applied"));
  }
  const auto [it, first] = acknowledgers_.insert({{past.shard, term}, server});
  if (it->second != server) {
    Violation(absl::StrCat("shard ", past.shard, " term ", term, ": servers ",
                           it->second, " and ", server, " acknowledge"));
  }
}

void Checker::OnTruncated(const Past& past, uint32_t server, Lsn lsn,
                          uint32_t crc) {
  ++result_.progress["records cut"];
  const std::vector<Committed>& records = chains_[past].records;
  if (lsn <= records.size() && records[lsn - 1].crc == crc) {
    Violation(absl::StrCat("shard ", past.shard, ": server ", server,
                           " cut committed record ", lsn));
  }
}

void Checker::OnGivenUp(const Past& past, uint64_t id) {
  ++result_.progress["given up"];
  given_up_[id] = past;
}

void Checker::CheckLedger() {
  for (const auto& [id, past] : acked_) {
    if (!IsNewest(past)) {
      ++result_.progress["acks of old histories"];
    } else if (chains_[past].pushes.count(id) == 0) {
      Violation(absl::StrCat("shard ", past.shard, ": acknowledged push ", id,
                             " is not there"));
    }
  }
  for (const auto& [id, past] : given_up_) {
    if (IsNewest(past) && chains_[past].pushes.count(id) != 0) {
      Violation(absl::StrCat("shard ", past.shard, ": push ", id,
                             " was given up and applied"));
    }
  }
  for (const auto& [past, chain] : chains_) {
    if (IsNewest(past))
      result_.progress["pushes applied"] += chain.pushes.size();
  }
}

}  // namespace paramo::sim
