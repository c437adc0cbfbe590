// Between "append" and "commit": step 3 of the data path. The shard appends
// its records in lsn order and applies each when it is told that the record is
// committed, in the same order.
#pragma once

#include <cstdint>
#include <memory>

#include "common/base/ids.h"
#include "server/log/record.h"

namespace paramo {

// The shard's side. Called on the shard's strand, possibly from within Append.
class CommitListener {
 public:
  virtual ~CommitListener() = default;
  // Every record up to and including `lsn` is committed. Only grows.
  virtual void OnCommitted(Lsn lsn) = 0;
};

// One shard's replication, used on its strand only.
class Replication {
 public:
  virtual ~Replication() = default;

  // Takes the record at the end of the log. The payload that goes with it
  // stays with the shard until the record is applied.
  virtual void Append(RecordKind kind, Epoch epoch, Lsn lsn) = 0;

  // In-sync replicas that have every committed record; what replies carry.
  virtual uint32_t replicas() const = 0;
};

// One replica, no log: a record is committed as soon as it is appended.
std::unique_ptr<Replication> MakeAlone(CommitListener& listener);

}  // namespace paramo
