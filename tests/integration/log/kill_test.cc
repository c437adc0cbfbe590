// kill -9 of a process that appends: every lsn that its log had reported as
// written is there, whole, when the log is opened again.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "server/log/log.h"

namespace paramo {
namespace {

constexpr ShardId kShards = 3;

// Everything about a record follows from its shard and lsn. Mostly small; one
// in 16 has up to 2 MB, so that kills land within writes.
std::string PayloadOf(ShardId shard, Lsn lsn) {
  BitGen gen(Mix64(shard) + lsn);
  const size_t size = gen.Below(gen.Below(16) == 0 ? 2'000'000 : 2'000);
  std::string payload(size, static_cast<char>(gen.Next()));
  for (size_t i = 0; i + 8 <= size; i += 512) {
    const uint64_t word = gen.Next();
    std::memcpy(payload.data() + i, &word, sizeof(word));
  }
  return payload;
}

// Writes each report to a pipe, from the log's thread.
class PipeListener final : public LogListener {
 public:
  explicit PipeListener(int fd) : fd_(fd) {}
  void OnLogged(absl::Span<const LogProgress> progress,
                Durability /*level*/) override {
    const size_t bytes = progress.size() * sizeof(LogProgress);
    if (write(fd_, progress.data(), bytes) != static_cast<ssize_t>(bytes)) {
      _exit(3);
    }
  }
  void OnLogFailed(const absl::Status& /*status*/) override { _exit(4); }

 private:
  const int fd_;
};

LogOptions Options(const std::string& dir) {
  LogOptions options;
  options.path = dir;
  options.cluster_id = 1;
  options.server_id = 1;
  options.segment_bytes = 8 << 20;
  options.buffer_bytes = 4 << 20;
  return options;
}

// The child: goes on where the log ends, until it is killed.
[[noreturn]] void AppendForEver(const std::string& dir, int pipe) {
  auto log = Log::Open(Options(dir));
  if (!log.ok()) _exit(2);
  auto recovery = (*log)->TakeRecovery();
  RecordHeader ends[kShards];
  for (ShardId shard = 0; shard < kShards; ++shard) {
    ends[shard].lsn = recovery->Shard(shard).last_lsn;
    ends[shard].crc32c = recovery->Shard(shard).last_crc;
  }
  recovery.reset();
  PipeListener listener(pipe);
  (*log)->Start(listener);
  BitGen gen(ends[0].lsn);
  while (true) {
    RecordHeader& end = ends[gen.Below(kShards)];
    RecordHeader header;
    header.kind = static_cast<uint16_t>(RecordKind::kPush);
    header.shard = static_cast<ShardId>(&end - ends);
    header.lsn = end.lsn + 1;
    header.previous_crc = end.crc32c;
    const std::string payload = PayloadOf(header.shard, header.lsn);
    while (!(*log)->HasRoom(payload.size())) sched_yield();
    const Piece piece = {reinterpret_cast<const uint8_t*>(payload.data()),
                         payload.size()};
    SealRecord(header, {&piece, 1});
    const auto level =
        gen.Below(16) == 0 ? Durability::kSynced : Durability::kWritten;
    if (!(*log)->Append(header, {&piece, 1}, level).ok()) _exit(5);
    end = header;
    if (gen.Below(32) == 0 && end.lsn > 200) {
      (*log)->Release(end.shard, end.lsn - 200);
    }
  }
}

class LogKillTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "/paramo_kill_XXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    dir_ = path;
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  // Runs a child until `reports` reports have come, kills it, and takes in
  // what it reported before it died.
  void KillAfter(size_t reports) {
    int pipe_fds[2];
    ASSERT_EQ(pipe(pipe_fds), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) AppendForEver(dir_, pipe_fds[1]);
    close(pipe_fds[1]);
    LogProgress report;
    for (size_t i = 0;
         read(pipe_fds[0], &report, sizeof(report)) == sizeof(report); ++i) {
      reported_[report.shard] = std::max(reported_[report.shard], report.lsn);
      if (i == reports) kill(child, SIGKILL);
    }
    close(pipe_fds[0]);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "exit " << WEXITSTATUS(status);
  }

  void CheckAll() {
    auto log = Log::Open(Options(dir_));
    ASSERT_TRUE(log.ok()) << log.status();
    auto recovery = (*log)->TakeRecovery();
    for (const std::string& what : recovery->corruptions()) {
      ADD_FAILURE() << what;
    }
    torn_ += recovery->cut().empty() ? 0 : 1;
    for (ShardId shard = 0; shard < kShards; ++shard) {
      const LogShardRecords& records = recovery->Shard(shard);
      EXPECT_TRUE(records.damage.ok()) << records.damage;
      EXPECT_GE(records.last_lsn, reported_[shard]);
      for (size_t i = 0; i < records.size(); ++i) {
        const LogRecord record = records[i];
        ASSERT_EQ(record.header.lsn, records.last_lsn - records.size() + i + 1);
        const std::string found(record.payload.begin(), record.payload.end());
        ASSERT_TRUE(found == PayloadOf(shard, record.header.lsn));
      }
    }
  }

  std::string dir_;
  std::map<ShardId, Lsn> reported_;
  int torn_ = 0;
};

TEST_F(LogKillTest, EveryReportedLsnIsThereAgain) {
  const uint64_t seed = MakeRandomId();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  BitGen gen(seed);
  constexpr int kKills = 15;
  for (int round = 0; round < kKills && !HasFailure(); ++round) {
    KillAfter(gen.Below(60));
    CheckAll();
  }
  // For people: a kill within a write is rare, and no failure when it is not.
  std::printf("%d kills, %d within a write\n", kKills, torn_);
}

}  // namespace
}  // namespace paramo
