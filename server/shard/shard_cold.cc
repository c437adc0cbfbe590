// Rows that only the store has, of tables with a memory budget.
//
//   push, pull:  rows in memory? -> held there until the request is done
//                `-> wanted -> one MultiGet on another thread -> handled again
//   record:      the same before it is applied: nobody holds its rows yet on a
//                backup, and in a replay. Those behind it wait.
//   eviction:    after whatever the strand has done, a few hundred rows at a
//                time: rows that the store has as they are, not held, not used
//                lately
//
// Which rows are in memory changes nothing that is pulled, stored or compared.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "paramo/v1/log_record.pb.h"
#include "server/shard/push_record.h"
#include "server/shard/shard.h"

namespace paramo {
namespace {

// Rows evicted at once: 0.1 ms of the strand.
constexpr size_t kEvictedAtOnce = 512;

// A table may be above its budget while its rows are on their way to the store,
// by as much again and this.
constexpr uint64_t kOverBudgetBytes = uint64_t{1} << 20;

std::vector<Key> ColdOf(const TableShard& table,
                        const std::vector<Key>& missing) {
  std::vector<Key> cold;
  for (const Key key : missing) {
    if (table.IsCold(key)) cold.push_back(key);
  }
  return cold;
}

}  // namespace

// ---- Holding rows -----------------------------------------------------------

Shard::HeldRows Shard::HoldRows(TableShard& table, absl::Span<const Key> keys,
                                TableShard::Look look) {
  HeldRows held;
  held.pins = table.Pin(keys, held.missing, look);
  const std::vector<Key> cold = ColdOf(table, held.missing);
  for (const Key key : cold) {
    const auto lost = lost_.find({table.config().id, key});
    if (lost == lost_.end()) continue;
    held.failed = lost->second;
    return held;
  }
  if (!cold.empty()) held.fetch = Want(table.config().id, cold);
  return held;
}

// Rows that the rule is about to change or a pull to copy. task->fetch tells
// whether they have to be waited for; those that are there are held meanwhile.
Shard::Refusal Shard::HoldRowsOf(SectionTask* task) {
  const bool again = std::exchange(task->fetch, 0) != 0;
  auto table = tables_.find(task->header().table);
  if (table == tables_.end() || !table->second->budgeted()) return {};
  if (!task->is_pull && !NeedsRows(task->header())) return {};
  HeldRows held =
      again ? HoldRows(*table->second, task->unpinned, TableShard::Look::kAgain)
            : HoldRows(*table->second, task->keys);
  task->pins.Add(std::move(held.pins));
  task->unpinned = std::move(held.missing);
  task->fetch = held.fetch;
  return {held.failed, wire::Reason::kStore};
}

// A contribution needs them when its round closes.
bool Shard::NeedsRows(const wire::SectionHeader& header) const {
  const auto member = memberships_.find(header.session);
  if (member == memberships_.end()) return true;
  return !member->second.left &&
         member->second.job->policy->AdmitPush(
             member->second.worker, header.clock) == Admission::kApply;
}

void Shard::WaitForRows(SectionTask* task) {
  if (task->is_pull) {
    if (!CountParked(task)) return;
    KeepKeys(task);
  }
  waiting_for_rows_.push_back(task);
  options_.counters->waiting_for_rows.Add(1);
}

void Shard::ExpireWaitingForRows(absl::Duration now) {
  std::vector<SectionTask*> late;
  for (auto task = waiting_for_rows_.begin();
       task != waiting_for_rows_.end();) {
    const bool expired = (*task)->deadline <= now;
    if (expired) late.push_back(*task);
    task = expired ? waiting_for_rows_.erase(task) : std::next(task);
  }
  options_.counters->waiting_for_rows.Add(-static_cast<int64_t>(late.size()));
  for (SectionTask* task : late) {
    if (task->is_pull) Unpark();
    Refuse(task,
           {absl::DeadlineExceededError(
                "rows of the request are still being read from the store"),
            wire::Reason::kDeadline});
  }
}

// ---- Records ----------------------------------------------------------------

bool Shard::Ready(const Record& record) {
  if (budgeted_.empty()) return true;
  if (record.kind() == RecordKind::kPush) return ReadyForPush(record);
  if (record.kind() == RecordKind::kRoundClose) return ReadyForRound(record);
  return true;
}

// What cannot be decoded is for Apply to tell.
bool Shard::ReadyForPush(const Record& record) {
  const bool ours = !waiting_.empty() && waiting_.front().lsn == record.lsn();
  SectionTask decoded(nullptr);
  const SectionTask& push = ours ? *waiting_.front().task : decoded;
  // A row that was missing then may have been made, stored and evicted since.
  if (ours && push.pins.size() == push.keys.size()) return true;
  if (!ours &&
      !DecodePush(
           record.payload, [this](TableId id) { return DimOf(id); }, decoded)
           .ok()) {
    return true;
  }
  auto table = tables_.find(push.header().table);
  if (table == tables_.end() || !table->second->budgeted() ||
      !NeedsRows(push.header())) {
    return true;
  }
  std::vector<HeldRows> rows;
  rows.push_back(HoldRows(*table->second, push.keys));
  return AreReady(std::move(rows));
}

bool Shard::ReadyForRound(const Record& record) {
  v1::RoundCloseRecord proto;
  if (!proto.ParseFromString(record.payload.Flatten())) return true;
  auto job = jobs_.find(proto.job());
  if (job == jobs_.end()) return true;
  auto round = job->second->rounds.rounds().find(proto.round());
  if (round == job->second->rounds.rounds().end()) return true;
  std::vector<HeldRows> rows;
  for (const auto& [worker, step] : round->second) {
    for (const Contribution& part : step.parts) {
      auto table = tables_.find(part.table);
      if (table == tables_.end() || !table->second->budgeted()) continue;
      rows.push_back(HoldRows(*table->second, part.keys));
    }
  }
  return AreReady(std::move(rows));
}

// Held until the record is applied. A committed record whose rows are lost
// cannot be applied here (rule 2.6).
bool Shard::AreReady(std::vector<HeldRows> rows) {
  bool ready = true;
  for (const HeldRows& held : rows) {
    ready = ready && held.fetch == 0 && held.failed.ok();
    if (held.failed.ok()) continue;
    replica_->Stop(absl::Status(
        held.failed.code(),
        absl::StrCat("shard ", options_.id,
                     ", a committed record: ", held.failed.message())));
    break;
  }
  next_rows_ = std::move(rows);
  return ready;
}

void Shard::Prefetch(const Record& record) {
  if (budgeted_.empty() || record.kind() != RecordKind::kPush) return;
  SectionTask push(nullptr);
  const absl::Status decoded = DecodePush(
      record.payload, [this](TableId id) { return DimOf(id); }, push);
  auto table = tables_.find(push.header().table);
  if (!decoded.ok() || table == tables_.end() || push.keys.empty()) return;
  std::vector<Key> missing;
  table->second->Pin(push.keys, missing);
  const std::vector<Key> cold = ColdOf(*table->second, missing);
  if (!cold.empty()) Want(table->first, cold);
}

// ---- Fetching ---------------------------------------------------------------

// Returns the fetch that brings the last of them.
uint64_t Shard::Want(TableId table, absl::Span<const Key> keys) {
  const auto fetching = fetching_.find(table);
  bool later = false;
  for (const Key key : keys) {
    if (fetching != fetching_.end() && fetching->second.contains(key)) continue;
    wanted_[table].insert(key);
    later = true;
  }
  const uint64_t brings = later ? fetch_ + 1 : fetch_;
  StartFetch();
  return brings;
}

// One at a time: what is missed while it is under way makes the next one, so
// that a busy shard asks for many rows at once, and for each of them once.
void Shard::StartFetch() {
  if (fetch_under_way_ || wanted_.empty()) return;
  fetch_under_way_ = true;
  fetching_ = std::exchange(wanted_, {});
  RowKeys keys;
  for (const auto& [table, wanted] : fetching_) {
    std::vector<Key>& sorted = keys[table];
    sorted.assign(wanted.begin(), wanted.end());
    std::sort(sorted.begin(), sorted.end());
  }
  fetch_started_ = options_.clock->Now();
  options_.port->FetchRows(
      std::move(keys), [this, fetch = ++fetch_](FetchedRows fetched) {
        Post([this, fetch, fetched = std::move(fetched)]() mutable {
          OnFetched(fetch, std::move(fetched));
        });
      });
}

// Whoever waited for these rows goes on in the order in which it came, before
// anything is evicted: so it finds them all.
void Shard::OnFetched(uint64_t fetch, FetchedRows fetched) {
  if (fetch != fetch_ || !fetch_under_way_) return;  // rows of a shard that was
  TakeFetched(fetched);
  StartFetch();
  replica_->Resume();
  RunBehind();
  std::deque<SectionTask*> waiting = std::exchange(waiting_for_rows_, {});
  std::vector<SectionTask*> ready;
  for (SectionTask* task : waiting) {
    if (task->fetch > fetch) {
      waiting_for_rows_.push_back(task);
    } else {
      ready.push_back(task);
    }
  }
  options_.counters->waiting_for_rows.Add(-static_cast<int64_t>(ready.size()));
  for (SectionTask* task : ready) {
    if (task->is_pull) Unpark();
    task->is_pull ? Gather(task) : Handle(task);
  }
  lost_.clear();
  UpdateDirty();
}

void Shard::TakeFetched(FetchedRows& fetched) {
  fetch_under_way_ = false;
  fetching_.clear();
  lost_ = std::move(fetched.failed);
  const absl::Duration took = options_.clock->Now() - fetch_started_;
  options_.counters->fetch_ns.Record(
      static_cast<uint64_t>(absl::ToInt64Nanoseconds(took)));
  options_.counters->rows_fetched.Add(fetched.rows.rows.size());
  for (const RowRecord& row : fetched.rows.rows) {
    auto table = tables_.find(row.table);
    if (table == tables_.end()) continue;
    // Of a checkpoint that was broken off: as after a restart then.
    rows_newest_ = std::max(rows_newest_, fetched.rows.RecordLsn(row));
    const absl::string_view record = fetched.rows.Record(row);
    const absl::Status taken = table->second->FetchBack(absl::MakeConstSpan(
        reinterpret_cast<const uint8_t*>(record.data()), record.size()));
    if (!taken.ok()) lost_[{row.table, row.key}] = taken;
  }
}

// Other rows take the place of those that were asked for.
void Shard::ForgetFetches() {
  wanted_.clear();
  fetching_.clear();
  fetch_under_way_ = false;
  next_rows_.clear();
  budgeted_.clear();
  std::deque<SectionTask*> waiting = std::exchange(waiting_for_rows_, {});
  options_.counters->waiting_for_rows.Add(
      -static_cast<int64_t>(waiting.size()));
  for (SectionTask* task : waiting) {
    if (task->is_pull) Unpark();
    Refuse(task, {absl::AbortedError("the shard begins anew here; refresh the "
                                     "shard map"),
                  wire::Reason::kWrongEpoch});
  }
}

// ---- Evicting ---------------------------------------------------------------

// Rows wait for the store in memory; who brings more has to wait too.
Shard::Refusal Shard::CheckMemory(const TableShard& table) const {
  const uint64_t budget = BudgetOf(table.config(), options_.shard_count);
  if (table.config().memory_budget == 0 ||
      table.resident_bytes() <= 2 * budget + kOverBudgetBytes) {
    return {};
  }
  return {absl::ResourceExhaustedError(absl::StrCat(
              "table ", table.config().name, " has ", table.resident_bytes(),
              " bytes of rows in memory, its budget for shard ", options_.id,
              " is ", budget,
              ": changed rows have to reach the store first, which is slower")),
          wire::Reason::kOverloaded};
}

void Shard::NoteBudgets() {
  budgeted_.clear();
  for (const auto& [id, table] : tables_) {
    if (table->budgeted()) budgeted_.push_back(table.get());
  }
}

void Shard::KeepBudgets() {
  if (budgeted_.empty() && resident_rows_ == 0) return;
  bool over = false, more = false;
  for (TableShard* table : budgeted_) {
    if (table->config().memory_budget == 0) continue;  // it had one
    const uint64_t budget = BudgetOf(table->config(), options_.shard_count);
    if (table->resident_bytes() <= budget) continue;
    const size_t evicted = table->Evict(budget, kEvictedAtOnce);
    options_.counters->rows_evicted.Add(evicted);
    if (table->resident_bytes() <= budget) continue;
    more = more || evicted > 0;
    over = over || (evicted == 0 && table->dirty_rows() > 0);
  }
  wants_flush_.store(over, std::memory_order_relaxed);
  CountResident();
  if (!more || evicting_) return;
  evicting_ = true;
  Post([this] {
    evicting_ = false;
    KeepBudgets();
  });
}

void Shard::CountResident() {
  int64_t rows = 0, bytes = 0;
  for (const TableShard* table : budgeted_) {
    rows += static_cast<int64_t>(table->resident_rows());
    bytes += static_cast<int64_t>(table->resident_bytes());
  }
  options_.counters->resident_rows.Add(rows - resident_rows_);
  options_.counters->resident_bytes.Add(bytes - resident_bytes_);
  resident_rows_ = rows;
  resident_bytes_ = bytes;
}

}  // namespace paramo
