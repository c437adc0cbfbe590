// Between "append" and "commit": step 3 of the data path. The shard appends
// its records in lsn order and applies each when it is told that the record is
// committed, in the same order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "common/base/durability.h"
#include "common/base/ids.h"
#include "server/log/record.h"

namespace paramo {

// The shard's side. Called on the shard's strand, possibly from within Append.
class CommitListener {
 public:
  virtual ~CommitListener() = default;

  // The record is committed. In lsn order, each record once, on every replica;
  // never while an earlier Apply is running.
  // Errors: DATA_LOSS  the record cannot be applied: this replica stops
  virtual absl::Status Apply(const Record& record) = 0;
};

// The server's log, as one shard sees it.
class RecordLog {
 public:
  virtual ~RecordLog() = default;
  // Whether a record of `bytes` more may come; asked before a push is taken.
  virtual bool HasRoom(size_t bytes) const = 0;
  // Takes the record. Replication hears of it again by OnLogged.
  virtual void Write(const Record& record, Durability level) = 0;
  // Records up to `lsn` are in the store and will not be read again.
  virtual void Release(Lsn lsn) = 0;
};

// Where a shard's log stands.
struct LogPosition {
  Lsn lsn = 0;       // of the last record
  uint32_t crc = 0;  // of it, to which the next one is chained
};

// One shard's replication, used on its strand only.
class Replication {
 public:
  virtual ~Replication() = default;

  // Makes the next record of the log and returns its lsn.
  virtual Lsn Append(RecordKind kind, Rope payload, Durability level) = 0;

  // Records that are appended from now on carry these.
  virtual void Configure(Epoch epoch, HistoryId history) = 0;

  // Where the log ends after a restart; everything in it is applied.
  virtual void Restore(LogPosition end) = 0;

  // Records up to `lsn` count as stored here.
  virtual void OnLogged(Lsn lsn) = 0;

  // In-sync replicas that have every committed record; what replies carry.
  virtual uint32_t replicas() const = 0;
};

struct AloneOptions {
  ShardId shard = 0;
  RecordLog* log = nullptr;  // null: a record is committed when it is appended
};

// One replica: a record is committed as soon as its log has it.
std::unique_ptr<Replication> MakeAlone(const AloneOptions& options,
                                       CommitListener& listener);

}  // namespace paramo
