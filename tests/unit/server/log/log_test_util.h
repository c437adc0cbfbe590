// A log on a disk in memory, shards that append to it, and who waits for it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/mutex.h"
#include "common/base/status.h"
#include "server/log/log.h"
#include "tests/unit/server/log/memory_disk.h"

namespace paramo {

// What a hung test is told after.
inline constexpr absl::Duration kPatience = absl::Seconds(30);

// Remembers what it is told; waits with a deadline.
class Listener final : public LogListener {
 public:
  void OnLogged(absl::Span<const LogProgress> progress,
                Durability level) override {
    MutexLock lock(mu_);
    for (const LogProgress& one : progress) {
      (level == Durability::kSynced ? synced_ : written_)[one.shard] = one.lsn;
    }
    changed_.NotifyAll();
  }
  void OnLogFailed(const absl::Status& status) override {
    MutexLock lock(mu_);
    failures_.push_back(status);
    changed_.NotifyAll();
  }

  bool WaitWritten(ShardId shard, Lsn lsn) {
    return WaitFor([&] { return written_[shard] >= lsn; });
  }
  bool WaitSynced(ShardId shard, Lsn lsn) {
    return WaitFor([&] { return synced_[shard] >= lsn; });
  }
  bool WaitFailed() {
    return WaitFor([&] { return !failures_.empty(); });
  }
  Lsn written(ShardId shard) const { return Locked(written_, shard); }
  Lsn synced(ShardId shard) const { return Locked(synced_, shard); }
  std::vector<absl::Status> failures() const {
    MutexLock lock(mu_);
    return failures_;
  }

 private:
  template <typename Condition>
  bool WaitFor(Condition condition) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    const absl::Time deadline = absl::Now() + kPatience;
    MutexLock lock(mu_);
    while (!condition()) {
      if (!changed_.WaitFor(mu_, deadline - absl::Now())) return condition();
    }
    return true;
  }
  Lsn Locked(const std::map<ShardId, Lsn>& map, ShardId shard) const {
    MutexLock lock(mu_);
    const auto found = map.find(shard);
    return found == map.end() ? 0 : found->second;
  }

  mutable Mutex mu_;
  CondVar changed_;
  std::map<ShardId, Lsn> written_;
  std::map<ShardId, Lsn> synced_;
  std::vector<absl::Status> failures_;
};

// One shard's end of the log: seals and chains its records.
class ShardEnd {
 public:
  explicit ShardEnd(ShardId shard) : shard_(shard) {}

  // The payload of the record at `lsn` in these tests.
  static std::string PayloadOf(ShardId shard, Lsn lsn, size_t size) {
    std::string payload = absl::StrCat("shard ", shard, " lsn ", lsn, ";");
    payload.resize(size, static_cast<char>('a' + lsn % 26));
    return payload;
  }

  absl::Status Append(Log& log, size_t size = 40,
                      Durability level = Durability::kWritten) {
    RecordHeader header;
    header.kind = static_cast<uint16_t>(RecordKind::kPush);
    header.shard = shard_;
    header.epoch = 1;
    header.history = 7;
    header.lsn = lsn + 1;
    header.previous_crc = crc;
    const std::string payload = PayloadOf(shard_, header.lsn, size);
    // In two pieces, as a push comes.
    const Piece pieces[] = {
        {reinterpret_cast<const uint8_t*>(payload.data()), size / 2},
        {reinterpret_cast<const uint8_t*>(payload.data()) + size / 2,
         size - size / 2}};
    SealRecord(header, pieces);
    absl::Status status = log.Append(header, pieces, level);
    if (!status.ok()) return status;
    lsn = header.lsn;
    crc = header.crc32c;
    crcs[lsn] = crc;
    return status;
  }

  absl::Status Mark(Log& log, RecordKind kind, Lsn to, uint32_t to_crc,
                    Durability level = Durability::kSynced) {
    const MarkRecord mark = MakeMark(kind, shard_, 1, 7, to, to_crc);
    const Piece piece = mark.piece();
    absl::Status status = log.Append(mark.header, {&piece, 1}, level);
    lsn = to;
    crc = to_crc;
    return status;
  }
  absl::Status Truncate(Log& log, Lsn to,
                        Durability level = Durability::kSynced) {
    return Mark(log, RecordKind::kTruncate, to, crcs[to], level);
  }

  // Goes on where a recovered log ends.
  void Resume(const LogRecovery& recovery) {
    lsn = recovery.Shard(shard_).last_lsn;
    crc = recovery.Shard(shard_).last_crc;
  }

  ShardId shard() const { return shard_; }
  Lsn lsn = 0;  // of the last record
  uint32_t crc = 0;
  std::map<Lsn, uint32_t> crcs;

 private:
  ShardId shard_;
};

inline std::vector<Lsn> LsnsOf(const LogShardRecords& records) {
  std::vector<Lsn> lsns;
  for (size_t i = 0; i < records.size(); ++i) {
    lsns.push_back(records[i].header.lsn);
  }
  return lsns;
}

inline std::vector<Lsn> LsnsOf(const std::vector<Record>& records) {
  std::vector<Lsn> lsns;
  for (const Record& record : records) lsns.push_back(record.header.lsn);
  return lsns;
}

inline std::vector<Lsn> Range(Lsn first, Lsn last) {
  std::vector<Lsn> lsns;
  for (Lsn lsn = first; lsn <= last; ++lsn) lsns.push_back(lsn);
  return lsns;
}

class LogTest : public testing::Test {
 protected:
  static LogOptions Options(LogDisk& disk, const std::string& boot = "boot-1") {
    LogOptions options;
    options.path = "log";
    options.disk = &disk;
    options.cluster_id = 0xc1;
    options.server_id = 3;
    options.incarnation = 0x1c;
    options.boot_id = boot;
    return options;
  }

  // A started log on `disk_`; `listener_` hears of it.
  std::unique_ptr<Log> Start(LogOptions options) {
    auto log = Log::Open(std::move(options));
    EXPECT_TRUE(log.ok()) << log.status();
    if (!log.ok()) return nullptr;
    recovery_ = (*log)->TakeRecovery();
    listener_ = std::make_unique<Listener>();
    (*log)->Start(*listener_);
    return *std::move(log);
  }
  std::unique_ptr<Log> Start() { return Start(Options(disk_)); }

  // What a log on `disk` holds, without leaving a trace: on a copy.
  static absl::StatusOr<std::unique_ptr<LogRecovery>> Recover(
      const MemoryDisk& disk, const std::string& boot) {
    MemoryDisk copy;
    for (const std::string& name : disk.Names()) {
      copy.Put(name, disk.Bytes(name));
    }
    auto log = Log::Open(Options(copy, boot));
    if (!log.ok()) return log.status();
    return (*log)->TakeRecovery();
  }

  // A record in a batch of its own.
  void AppendAlone(Log& log, ShardEnd& shard, size_t size = 40,
                   Durability level = Durability::kWritten) {
    ASSERT_TRUE(shard.Append(log, size, level).ok());
    ASSERT_TRUE(listener_->WaitWritten(shard.shard(), shard.lsn));
    if (level != Durability::kSynced) return;
    ASSERT_TRUE(listener_->WaitSynced(shard.shard(), shard.lsn));
  }

  MemoryDisk disk_;  // outlives the logs on it
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<LogRecovery> recovery_;
};

}  // namespace paramo
