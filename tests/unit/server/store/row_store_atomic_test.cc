// Invariant 1 of RowStore: a batch is stored whole or not at all, whatever
// stops it.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <optional>

#include "absl/time/clock.h"
#include "tests/unit/server/store/store_test_util.h"

namespace paramo {
namespace {

constexpr ShardId kShards = 8;

// Every row and every state of all shards carries the same number.
FlushBatch MakeBatch(Lsn lsn, size_t rows_per_shard) {
  FlushBatch batch;
  for (ShardId shard = 0; shard < kShards; ++shard) {
    batch.push_back(
        MakeFlush(1, shard, 0, rows_per_shard, lsn, absl::StrCat(lsn)));
  }
  return batch;
}

// The number that all rows and states carry; 0 when nothing is stored. Fails
// the test when they differ.
Lsn StoredLsn(const RowStore& store, size_t rows_per_shard) {
  Lsn lsn = 0;
  for (ShardId shard = 0; shard < kShards; ++shard) {
    auto state = store.LoadState(shard);
    EXPECT_TRUE(state.ok()) << ToString(state.status());
    const auto rows = ReadShard(store, 1, shard);
    const Lsn here = state->has_value() ? std::stoull(**state) : 0;
    if (shard == 0) lsn = here;
    EXPECT_EQ(here, lsn) << "shard " << shard;
    EXPECT_EQ(rows.size(), lsn == 0 ? 0 : rows_per_shard);
    for (const auto& [key, record] : rows) {
      EXPECT_EQ(record, MakeRecord(key, lsn));
    }
  }
  return lsn;
}

TEST(RowStoreAtomic, DiskFullAtAnyPageStoresAllOrNothing) {
  TempDir dir;
  SmallDisk disk(dir.path());
  if (!disk.mounted()) GTEST_SKIP() << "mounting a tmpfs needs root";
  constexpr size_t kRows = 10;
  constexpr size_t kPages = 20;  // a batch takes about ten
  auto store = MustOpen(dir.path());
  Lsn stored = 0;
  size_t refused = 0;
  for (size_t pages = 0; pages < kPages; ++pages) {
    disk.Fill(pages * 4096);
    const Lsn next = stored + 1;
    const absl::Status status = store->Ingest(MakeBatch(next, kRows));
    if (status.ok()) {
      stored = next;
    } else {
      ++refused;
      EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted)
          << ToString(status);
    }
    EXPECT_EQ(StoredLsn(*store, kRows), stored) << pages << " pages free";
    // With room again the store works, and a restart agrees.
    std::filesystem::remove(disk.ballast());
    absl::Status again;
    ++stored;
    EXPECT_TRUE(WaitUntil([&] {
      again = store->Ingest(MakeBatch(stored, kRows));
      return again.ok();
    })) << ToString(again);
    store.reset();
    store = MustOpen(dir.path());
    EXPECT_EQ(StoredLsn(*store, kRows), stored);
  }
  // Both happened, else this test has shown nothing.
  EXPECT_GT(refused, 0u);
  EXPECT_LT(refused, kPages);
}

constexpr char kChildDirectory[] = "PARAMO_TEST_STORE_CHILD";
constexpr size_t kKillRows = 500;

[[noreturn]] void IngestUntilKilled(const std::string& dir) {
  auto store = MustOpen(dir);
  for (Lsn lsn = StoredLsn(*store, kKillRows) + 1;; ++lsn) {
    if (!store->Ingest(MakeBatch(lsn, kKillRows)).ok()) _exit(1);
    std::printf("%d\n", static_cast<int>(lsn));
    std::fflush(stdout);
  }
}

// This very test in a process of its own (RocksDB does not survive a fork),
// and the pipe that its reports come through.
struct Child {
  pid_t pid = -1;
  FILE* reports = nullptr;

  explicit Child(const std::string& dir) {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
      dup2(ends[1], STDOUT_FILENO);
      setenv(kChildDirectory, dir.c_str(), 1);
      execl("/proc/self/exe", "test",
            "--gtest_filter=RowStoreAtomic.KilledIngestIsStoredWholeOrNot",
            "--gtest_brief=1", nullptr);
      _exit(127);
    }
    close(ends[1]);
    reports = fdopen(ends[0], "r");
  }
  ~Child() {
    std::fclose(reports);
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
  // The next lsn that the child reports as stored; 0 at its end.
  Lsn NextReport() {
    char line[256];
    while (std::fgets(line, sizeof(line), reports) != nullptr) {
      if (line[0] >= '1' && line[0] <= '9') return std::stoull(line);
    }
    return 0;
  }
};

TEST(RowStoreAtomic, KilledIngestIsStoredWholeOrNot) {
  if (const char* dir = std::getenv(kChildDirectory)) IngestUntilKilled(dir);
  TempDir dir;
  const uint64_t seed = MakeRandomId();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  BitGen random(seed);
  for (int round = 0; round < 6; ++round) {
    Lsn reported = 0;
    {
      Child child(dir.path());
      reported = child.NextReport();
      ASSERT_GT(reported, 0u) << "the child could not ingest";
      // Anywhere within the following ingest, each of which takes some 20 ms.
      absl::SleepFor(absl::Microseconds(random.Below(40'000)));
    }
    auto store = MustOpen(dir.path());
    EXPECT_GE(StoredLsn(*store, kKillRows), reported);
  }
}

}  // namespace
}  // namespace paramo
