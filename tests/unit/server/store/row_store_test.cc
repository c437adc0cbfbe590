#include "server/store/row_store.h"

#include <algorithm>
#include <optional>
#include <vector>

#include <gmock/gmock.h>

#include "tests/unit/server/store/store_test_util.h"

namespace paramo {
namespace {

using ::testing::HasSubstr;

TEST(RowStore, ReopensWithIdenticalRowsAndStates) {
  TempDir dir;
  std::map<Key, std::string> before;
  {
    auto store = MustOpen(dir.path());
    ASSERT_TRUE(store
                    ->Ingest({MakeFlush(1, 0, 100, 500, 7, "state of 0"),
                              MakeFlush(1, 3, 0, 10, 8, "state of 3"),
                              MakeFlush(2, 3, 0, 5, 9)})
                    .ok());
    before = ReadShard(*store, 1, 0);
    EXPECT_EQ(before.size(), 500u);
    EXPECT_EQ(before[100], MakeRecord(100, 7));
  }
  auto store = MustOpen(dir.path());
  EXPECT_EQ(ReadShard(*store, 1, 0), before);
  EXPECT_EQ(ReadShard(*store, 1, 3).size(), 10u);
  EXPECT_EQ(ReadShard(*store, 2, 3).size(), 5u);
  EXPECT_EQ(ReadShard(*store, 2, 0).size(), 0u);
  EXPECT_EQ(*store->LoadState(0), std::optional<std::string>("state of 0"));
  EXPECT_EQ(*store->LoadState(3), std::optional<std::string>("state of 3"));
  EXPECT_EQ(*store->LoadState(1), std::nullopt);
}

TEST(RowStore, TakesRowsInAnyOrderAndOrdersKeysAsNumbers) {
  TempDir dir;
  auto store = MustOpen(dir.path());
  ShardFlush flush;
  flush.shard = 5;
  // Neighbours in number but not in little-endian bytes, and the extremes.
  for (Key key : {Key{256}, Key{1}, ~Key{0}, Key{255}, Key{0}, Key{1} << 63}) {
    flush.AddRow(9, MakeRecord(key, 1));
  }
  ASSERT_TRUE(store->Ingest({flush}).ok());
  std::vector<Key> keys;
  for (const auto& row : ReadShard(*store, 9, 5)) keys.push_back(row.first);
  EXPECT_EQ(keys, (std::vector<Key>{0, 1, 255, 256, Key{1} << 63, ~Key{0}}));
}

TEST(RowStore, StoresTheHighestLsnOfRepeatedRows) {
  TempDir dir;
  auto store = MustOpen(dir.path());
  ShardFlush flush;
  flush.AddRow(1, MakeRecord(4, 20));
  flush.AddRow(1, MakeRecord(4, 30));
  flush.AddRow(1, MakeRecord(4, 10));
  ASSERT_TRUE(store->Ingest({flush, MakeFlush(1, 0, 4, 1, 25)}).ok());
  EXPECT_EQ(ReadShard(*store, 1, 0)[4], MakeRecord(4, 30));
}

TEST(RowStore, LaterIngestReplacesRowsAndState) {
  TempDir dir;
  auto store = MustOpen(dir.path());
  ASSERT_TRUE(store->Ingest({MakeFlush(1, 0, 0, 100, 1, "old")}).ok());
  ASSERT_TRUE(store->Ingest({MakeFlush(1, 0, 50, 100, 2, "new")}).ok());
  ASSERT_TRUE(store->Ingest({MakeFlush(1, 0, 150, 1, 3)}).ok());
  auto rows = ReadShard(*store, 1, 0);
  EXPECT_EQ(rows.size(), 151u);
  EXPECT_EQ(rows[49], MakeRecord(49, 1));
  EXPECT_EQ(rows[50], MakeRecord(50, 2));
  // A flush without a state leaves the stored one.
  EXPECT_EQ(*store->LoadState(0), std::optional<std::string>("new"));
}

TEST(RowStore, AcceptsRowsOfDifferentSizesAndAnEmptyBatch) {
  TempDir dir;
  auto store = MustOpen(dir.path());
  ShardFlush flush;
  flush.AddRow(1, MakeRecord(1, 1, 32));
  flush.AddRow(1, MakeRecord(2, 1, 300 << 10));
  ASSERT_TRUE(store->Ingest({flush}).ok());
  ASSERT_TRUE(store->Ingest({}).ok());
  ASSERT_TRUE(store->Ingest({ShardFlush()}).ok());
  EXPECT_EQ(store->Stats().ingests, 1u);
  EXPECT_EQ(ReadShard(*store, 1, 0)[2], MakeRecord(2, 1, 300 << 10));
}

TEST(RowStore, MultiGetFindsStoredKeysInAnyOrder) {
  TempDir dir;
  auto store = MustOpen(dir.path());
  ASSERT_TRUE(store->Ingest({MakeFlush(1, 2, 0, 1000, 5)}).ok());
  ASSERT_TRUE(store->Ingest({MakeFlush(1, 3, 5000, 10, 5)}).ok());
  std::vector<RowId> rows;
  for (Key key = 0; key < 2000; key += 3) rows.push_back({1, 2, key});
  for (bool sorted : {true, false}) {
    if (!sorted) std::reverse(rows.begin(), rows.end());
    size_t found = 0, asked = 0;
    store->MultiGet(rows, [&](size_t i, const auto& record) {
      ++asked;
      EXPECT_EQ(record.ok(), rows[i].key < 1000) << record.status();
      EXPECT_TRUE(record.ok() || absl::IsNotFound(record.status()));
      if (!record.ok()) return;
      ++found;
      EXPECT_EQ(*record, MakeRecord(rows[i].key, 5));
    });
    EXPECT_EQ(asked, rows.size());
    EXPECT_EQ(found, 334u);  // multiples of 3 below 1000
  }
}

TEST(RowStore, ScanStopsAtTheVisitorsError) {
  TempDir dir;
  auto store = MustOpen(dir.path());
  ASSERT_TRUE(store->Ingest({MakeFlush(1, 0, 0, 10, 1)}).ok());
  int seen = 0;
  auto status = store->ScanShard(1, 0, [&](absl::string_view) {
    return ++seen == 3 ? absl::CancelledError("enough") : absl::OkStatus();
  });
  EXPECT_EQ(status, absl::CancelledError("enough"));
  EXPECT_EQ(seen, 3);
}

TEST(RowStore, DropTableDeletesItsRowsAndNoOthers) {
  TempDir dir;
  {
    auto store = MustOpen(dir.path());
    // Several overlapping files, so that rows lie under rows.
    for (Lsn lsn = 1; lsn <= 6; ++lsn) {
      ASSERT_TRUE(store
                      ->Ingest({MakeFlush(1, 0, 0, 50, lsn),
                                MakeFlush(2, 0, 0, 50, lsn),
                                MakeFlush(2, 63, 0, 50, lsn),
                                MakeFlush(3, 0, 0, 50, lsn, "state")})
                      .ok());
    }
    ASSERT_TRUE(store->DropTable(2).ok());
    ASSERT_TRUE(store->DropTable(2).ok());  // may be repeated
  }
  auto store = MustOpen(dir.path());
  EXPECT_EQ(ReadShard(*store, 1, 0).size(), 50u);
  EXPECT_EQ(ReadShard(*store, 2, 0).size(), 0u);
  EXPECT_EQ(ReadShard(*store, 2, 63).size(), 0u);
  EXPECT_EQ(ReadShard(*store, 3, 0).size(), 50u);
  EXPECT_EQ(*store->LoadState(0), std::optional<std::string>("state"));
  // Rows stored after the drop are not hidden by it.
  ASSERT_TRUE(store->Ingest({MakeFlush(2, 0, 7, 1, 9)}).ok());
  EXPECT_EQ(ReadShard(*store, 2, 0).size(), 1u);
}

TEST(RowStore, DropShardDeletesItsRowsAndStateAndNoOthers) {
  TempDir dir;
  {
    auto store = MustOpen(dir.path());
    for (Lsn lsn = 1; lsn <= 6; ++lsn) {
      ASSERT_TRUE(store
                      ->Ingest({MakeFlush(1, 4, 0, 50, lsn),
                                MakeFlush(1, 5, 0, 50, lsn, "state"),
                                MakeFlush(2, 5, 0, 50, lsn),
                                MakeFlush(2, 6, 0, 50, lsn, "other")})
                      .ok());
    }
    const TableId tables[] = {1, 2, 3};
    ASSERT_TRUE(store->DropShard(5, tables).ok());
    ASSERT_TRUE(store->DropShard(5, tables).ok());  // may be repeated
  }
  auto store = MustOpen(dir.path());
  EXPECT_EQ(ReadShard(*store, 1, 4).size(), 50u);
  EXPECT_EQ(ReadShard(*store, 1, 5).size(), 0u);
  EXPECT_EQ(ReadShard(*store, 2, 5).size(), 0u);
  EXPECT_EQ(ReadShard(*store, 2, 6).size(), 50u);
  EXPECT_EQ(*store->LoadState(5), std::nullopt);
  EXPECT_EQ(*store->LoadState(6), std::optional<std::string>("other"));
  ASSERT_TRUE(store->Ingest({MakeFlush(2, 5, 7, 1, 9, "next")}).ok());
  EXPECT_EQ(ReadShard(*store, 2, 5).size(), 1u);
  EXPECT_EQ(*store->LoadState(5), std::optional<std::string>("next"));
}

TEST(RowStore, IngestWaitsForCompactionWhenLevel0IsFull) {
  TempDir dir;
  RowStoreOptions options;
  options.l0_files_max = 4;
  options.compaction_files = 2;
  auto store = MustOpen(dir.path(), options);
  for (Lsn lsn = 1; lsn <= 30; ++lsn) {
    ASSERT_TRUE(store->Ingest({MakeFlush(1, 0, 0, 20000, lsn)}).ok());
    EXPECT_LE(store->Stats().l0_files, 4u);
  }
  EXPECT_EQ(store->Stats().ingests, 30u);
  EXPECT_EQ(ReadShard(*store, 1, 0)[0], MakeRecord(0, 30));
}

TEST(RowStore, IngestGivesUpWhenCompactionMakesNoRoom) {
  TempDir dir;
  RowStoreOptions options;
  options.l0_files_max = 3;
  options.compaction_files = 1000;  // never
  options.l0_wait_max = absl::Milliseconds(20);
  auto store = MustOpen(dir.path(), options);
  absl::Status status;
  int ingests = 0;
  while (status.ok() && ingests < 20) {
    status = store->Ingest({MakeFlush(1, 0, 0, 10, ++ingests, "s")});
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("level-0 files"));
  EXPECT_EQ(store->Stats().l0_files, 3u);
  EXPECT_EQ(store->Stats().l0_waits, 1u);
  // Nothing of the refused batch is there.
  EXPECT_EQ(ReadShard(*store, 1, 0)[0], MakeRecord(0, ingests - 1));
}

TEST(RowStore, LeavesNoFilesOfInterruptedIngests) {
  TempDir dir;
  { auto store = MustOpen(dir.path()); }
  const std::string stray = dir.path() + "/rows.ingest/17.sst";
  WriteWholeFile(stray, "half a file");
  auto store = MustOpen(dir.path());
  EXPECT_FALSE(std::filesystem::exists(stray));
  ASSERT_TRUE(store->Ingest({MakeFlush(1, 0, 0, 10, 1, "s")}).ok());
  EXPECT_TRUE(std::filesystem::is_empty(dir.path() + "/rows.ingest"));
}

}  // namespace
}  // namespace paramo
