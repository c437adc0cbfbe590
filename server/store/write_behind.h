// Writes dirty rows to the store behind the pushes that made them dirty, many
// shards to one ingest. Step 8 of the data path, on a thread of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/limits.h"
#include "common/base/mutex.h"
#include "common/clock/clock.h"
#include "server/store/row_store.h"
#include "server/store/shard_flush.h"

namespace paramo {

// The shard's side. A collected row stays dirty until Flushed says that
// exactly its lsn is stored; changed in between, it is dirty again anyway.
class FlushSource {
 public:
  virtual ~FlushSource() = default;

  // Asks the shard (on its strand) for up to `rows_max` dirty rows that it has
  // not given yet, and with the last ones of a sweep for its non-row state. The
  // shard stops early after the row that takes the arena past
  // kFlushShardBytesMax. Calls `done` exactly once, from any thread, with
  // nothing in it when nothing is dirty.
  virtual void Collect(size_t rows_max,
                       std::function<void(ShardFlush)> done) = 0;

  // The outcome of what one Collect gave: stored, or failed, and then the rows
  // are dirty again. Called on the write-behind thread; must not block.
  virtual void Flushed(const ShardFlush& flush, const absl::Status& status) = 0;

  // Rows that the store does not have yet, those collected included; at least
  // 1 while only non-row state is unstored. Any thread; an atomic read.
  virtual size_t DirtyRows() const = 0;

  // Bytes of the log's records that a restart would replay for it: their
  // changes are not all in the store. Any thread; an atomic read.
  virtual uint64_t UnstoredLogBytes() const = 0;

  // Whether its dirty rows are to be stored now: they keep it above a memory
  // budget. Any thread; an atomic read.
  virtual bool WantsFlush() const { return false; }
};

struct WriteBehindOptions {
  // Rounds follow each other while a restart would replay more than this of the
  // log. Higher: a row that is pushed often is written less often, and a
  // restart takes longer.
  uint64_t log_bytes_high = kUnstoredLogBytesDefault;

  // A round starts when something is dirty and this long has passed since the
  // last one began.
  absl::Duration interval = absl::Seconds(10);

  // Rows asked of one shard at a time, and so how long its strand is held:
  // 4096 rows of 272 bytes are copied in about 0.4 ms.
  size_t rows_per_collect = 4096;

  // One ingest's worth: collecting stops at this.
  size_t bytes_per_ingest = size_t{64} << 20;

  // Called before every ingest, may block: what the rows were made of must be
  // on disk before they are, or a crash leaves rows that no log explains.
  std::function<absl::Status()> before_ingest;

  // After a failed ingest; doubles from the first to the second.
  absl::Duration backoff_min = absl::Milliseconds(100);
  absl::Duration backoff_max = absl::Seconds(5);
};

struct WriteBehindStats {
  uint64_t rounds = 0;  // ingests tried
  uint64_t failures = 0;
  uint64_t rows = 0;  // stored
  uint64_t dirty_rows = 0;
  absl::Status last_error;  // of the last round; OK when it succeeded
};

// Owned by the server, which adds its shards, and stops it before the shards
// and the store go. The store and the clock are borrowed.
//
// Invariants
//   1. A round asks one source after the other, each until its sweep is over,
//      and starts where the last one ended: no shard waits for more than one
//      sweep of each other one.
//   2. Ingests are serial; sources are told the outcome of one before they are
//      asked for the next.
//   3. A failed round loses nothing and is tried again until it succeeds.
//
// Threads: any may call; one internal thread, "write-behind".
class WriteBehind {
 public:
  WriteBehind(RowStore& store, const Clock& clock,
              const WriteBehindOptions& options);
  ~WriteBehind();  // stops; flushes nothing: call FlushAll first
  WriteBehind(const WriteBehind&) = delete;
  WriteBehind& operator=(const WriteBehind&) = delete;

  // `source` must live until Remove or Stop has returned. Remove and Stop wait
  // for the round under way, so the source's strand must still be running.
  void Add(FlushSource* source);
  void Remove(FlushSource* source);
  void Stop();

  // Blocks until nothing is dirty; for an orderly stop, after the last push.
  // DEADLINE_EXCEEDED names the rows left and the last error.
  absl::Status FlushAll(absl::Duration timeout);

  // Looks at the triggers now. They are looked at every 50 ms anyway.
  void Wake();

  WriteBehindStats Stats() const;

 private:
  void Run();
  void WaitForWork() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool RoundIsDue() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  size_t DirtyRows() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  uint64_t UnstoredLogBytes() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool SomeWantFlush() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::vector<FlushSource*> NextSources() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Round(const std::vector<FlushSource*>& sources);
  void NoteOutcome(const FlushSource* next, uint64_t rows, size_t bytes,
                   const absl::Status& status);

  RowStore& store_;
  const Clock& clock_;
  const WriteBehindOptions options_;

  mutable Mutex mu_;
  CondVar wake_;     // the thread's: work, a wish to flush all, or stop
  CondVar settled_;  // the callers': a round has ended
  std::vector<FlushSource*> sources_ ABSL_GUARDED_BY(mu_);
  size_t next_source_ ABSL_GUARDED_BY(mu_) = 0;
  bool round_running_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  int flush_all_waiters_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Duration round_started_ ABSL_GUARDED_BY(mu_);
  absl::Duration backoff_ ABSL_GUARDED_BY(mu_);     // zero after a success
  absl::Duration not_before_ ABSL_GUARDED_BY(mu_);  // of the next round
  WriteBehindStats stats_ ABSL_GUARDED_BY(mu_);

  std::thread thread_;  // last: starts when all of the above is there
};

}  // namespace paramo
