#include "server/store/write_behind.h"

#include <pthread.h>

#include <algorithm>
#include <future>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/status.h"

namespace paramo {
namespace {

// How often the triggers are looked at: one atomic read per shard.
constexpr absl::Duration kLookInterval = absl::Milliseconds(50);

ShardFlush CollectFrom(FlushSource& source, size_t rows_max) {
  // Shared with the callback, which may still be returning when we go on.
  auto answer = std::make_shared<std::promise<ShardFlush>>();
  std::future<ShardFlush> flush = answer->get_future();
  source.Collect(rows_max, [answer](ShardFlush collected) {
    answer->set_value(std::move(collected));
  });
  return flush.get();
}

}  // namespace

WriteBehind::WriteBehind(RowStore& store, const Clock& clock,
                         const WriteBehindOptions& options)
    : store_(store),
      clock_(clock),
      options_(options),
      round_started_(clock.Now()),
      backoff_(absl::ZeroDuration()),
      not_before_(absl::ZeroDuration()),
      thread_([this] { Run(); }) {}

WriteBehind::~WriteBehind() { Stop(); }

void WriteBehind::Add(FlushSource* source) {
  MutexLock lock(mu_);
  sources_.push_back(source);
}

void WriteBehind::Remove(FlushSource* source) {
  MutexLock lock(mu_);
  sources_.erase(std::remove(sources_.begin(), sources_.end(), source),
                 sources_.end());
  // The round under way may hold it; no later one can.
  const uint64_t round = stats_.rounds;
  while (round_running_ && stats_.rounds == round) settled_.Wait(mu_);
}

void WriteBehind::Stop() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    wake_.NotifyAll();
    settled_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void WriteBehind::Wake() {
  MutexLock lock(mu_);
  wake_.NotifyAll();
}

absl::Status WriteBehind::FlushAll(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  MutexLock lock(mu_);
  ++flush_all_waiters_;
  wake_.NotifyAll();
  size_t dirty_rows = DirtyRows();
  while ((dirty_rows > 0 || round_running_) && !stopping_ &&
         absl::Now() < deadline) {
    settled_.WaitFor(mu_, std::min(deadline - absl::Now(), kLookInterval));
    dirty_rows = DirtyRows();
  }
  --flush_all_waiters_;
  if (dirty_rows == 0) return absl::OkStatus();
  return absl::DeadlineExceededError(
      absl::StrCat(dirty_rows, " rows are still not in the store after ",
                   absl::FormatDuration(timeout),
                   "; last error: ", ToString(stats_.last_error)));
}

WriteBehindStats WriteBehind::Stats() const {
  MutexLock lock(mu_);
  WriteBehindStats stats = stats_;
  stats.dirty_rows = DirtyRows();
  return stats;
}

void WriteBehind::Run() {
  pthread_setname_np(pthread_self(), "write-behind");
  for (;;) {
    std::vector<FlushSource*> sources;
    {
      MutexLock lock(mu_);
      WaitForWork();
      if (stopping_) return;
      sources = NextSources();
      if (sources.empty()) continue;  // told Flushed, they just became clean
      round_started_ = clock_.Now();
      round_running_ = true;
    }
    Round(sources);
  }
}

void WriteBehind::WaitForWork() {
  while (!stopping_ && !RoundIsDue()) {
    wake_.WaitFor(mu_, kLookInterval);
  }
}

bool WriteBehind::RoundIsDue() const {
  const absl::Duration now = clock_.Now();
  if (DirtyRows() == 0 || now < not_before_) return false;
  // The first round after a failure does not wait for its trigger again.
  if (flush_all_waiters_ > 0 || backoff_ > absl::ZeroDuration()) return true;
  return UnstoredLogBytes() >= options_.log_bytes_high ||
         now - round_started_ >= options_.interval || SomeWantFlush();
}

bool WriteBehind::SomeWantFlush() const {
  return std::any_of(
      sources_.begin(), sources_.end(),
      [](const FlushSource* source) { return source->WantsFlush(); });
}

size_t WriteBehind::DirtyRows() const {
  size_t rows = 0;
  for (const FlushSource* source : sources_) rows += source->DirtyRows();
  return rows;
}

uint64_t WriteBehind::UnstoredLogBytes() const {
  uint64_t bytes = 0;
  for (const FlushSource* source : sources_) {
    bytes += source->UnstoredLogBytes();
  }
  return bytes;
}

// The dirty sources, from where the last round ended (invariant 1).
std::vector<FlushSource*> WriteBehind::NextSources() {
  std::vector<FlushSource*> dirty;
  for (size_t i = 0; i < sources_.size(); ++i) {
    FlushSource* source = sources_[(next_source_ + i) % sources_.size()];
    if (source->DirtyRows() > 0) dirty.push_back(source);
  }
  return dirty;
}

// One source after the other, so that the rows of a batch are next to each
// other in the store: files that do not overlap cost compaction nothing.
void WriteBehind::Round(const std::vector<FlushSource*>& sources) {
  FlushBatch batch;
  std::vector<FlushSource*> given_by;  // each of the batch
  size_t rows = 0;
  size_t bytes = 0;
  size_t swept = 0;  // sources whose sweep is over
  while (swept < sources.size() && bytes < options_.bytes_per_ingest) {
    FlushSource* source = sources[swept];
    ShardFlush flush = CollectFrom(*source, options_.rows_per_collect);
    rows += flush.rows.size();
    bytes += flush.arena.size() + flush.state.size();
    if (flush.EndsSweep()) ++swept;
    batch.push_back(std::move(flush));
    given_by.push_back(source);
  }
  absl::Status status;
  if (options_.before_ingest) status = options_.before_ingest();
  if (status.ok()) status = store_.Ingest(batch);
  for (size_t i = 0; i < batch.size(); ++i) {
    given_by[i]->Flushed(batch[i], status);
  }
  NoteOutcome(sources[swept % sources.size()], rows, bytes, status);
}

void WriteBehind::NoteOutcome(const FlushSource* next, uint64_t rows,
                              size_t bytes, const absl::Status& status) {
  if (!status.ok()) {
    LogError("write-behind: %d rows could not be stored and stay in memory: %s",
             rows, ToString(status));
  }
  MutexLock lock(mu_);
  ++stats_.rounds;
  stats_.last_error = status;
  if (status.ok()) {
    stats_.rows += rows;
    backoff_ = absl::ZeroDuration();
    // Dirty rows that nobody would give: ask again later, do not spin.
    not_before_ =
        bytes == 0 ? clock_.Now() + kLookInterval : absl::ZeroDuration();
  } else {
    ++stats_.failures;
    backoff_ =
        std::clamp(2 * backoff_, options_.backoff_min, options_.backoff_max);
    not_before_ = clock_.Now() + backoff_;
  }
  const auto found = std::find(sources_.begin(), sources_.end(), next);
  next_source_ = found == sources_.end() ? 0 : found - sources_.begin();
  round_running_ = false;
  settled_.NotifyAll();
}

}  // namespace paramo
