// Prints what the ingest path does; asserts only that all rows arrived, since
// the machine's speed is not ours to promise. tests/bench has the ratios.
#include <chrono>
#include <cstdio>

#include "tests/unit/server/store/store_test_util.h"

namespace paramo {
namespace {

TEST(IngestSpeed, OneMillionRowsOf272Bytes) {
  constexpr size_t kRows = 1'000'000;
  constexpr ShardId kShards = 16;
  constexpr size_t kBatches = 4;
  TempDir dir;
  auto store = MustOpen(dir.path());
  double seconds = 0;
  for (size_t batch = 0; batch < kBatches; ++batch) {
    FlushBatch flushes(kShards);
    for (ShardId shard = 0; shard < kShards; ++shard) {
      flushes[shard].shard = shard;
    }
    // Keys come in hash order, as dirty rows of a table do.
    for (uint64_t i = batch; i < kRows; i += kBatches) {
      const Key key = Mix64(i);
      flushes[key % kShards].AddRow(1, MakeRecord(key, 1));
    }
    const auto start = std::chrono::steady_clock::now();
    ASSERT_TRUE(store->Ingest(flushes).ok());
    seconds +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
            .count();
  }
  std::printf(
      "[ measured ] sorted, written, synced, ingested: %.2f M rows/s, "
      "%.0f MB/s\n",
      kRows / seconds / 1e6, kRows * 272 / seconds / 1e6);
  EXPECT_EQ(store->Stats().rows_ingested, kRows);
  size_t found = 0;
  const auto start = std::chrono::steady_clock::now();
  for (ShardId shard = 0; shard < kShards; ++shard) {
    ASSERT_TRUE(store
                    ->ScanShard(1, shard,
                                [&](absl::string_view) {
                                  ++found;
                                  return absl::OkStatus();
                                })
                    .ok());
  }
  seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
  std::printf("[ measured ] scanned back: %.2f M rows/s\n",
              kRows / seconds / 1e6);
  EXPECT_EQ(found, kRows);
}

}  // namespace
}  // namespace paramo
