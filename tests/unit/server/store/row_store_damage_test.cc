// What the disk can do to a row store, and that it is noticed.
#include <optional>
#include <vector>

#include <gmock/gmock.h>
#include <rocksdb/db.h>
#include <rocksdb/sst_file_writer.h>

#include "server/store/row_fetch.h"
#include "server/store/row_store.h"
#include "tests/unit/server/store/store_test_util.h"

namespace paramo {
namespace {

using ::testing::HasSubstr;

std::vector<std::string> FilesWith(const std::string& dir,
                                   const std::string& part) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    if (entry.path().filename().string().find(part) != std::string::npos) {
      paths.push_back(entry.path().string());
    }
  }
  return paths;
}

class RowStoreDamage : public ::testing::Test {
 protected:
  void SetUp() override {
    auto store = MustOpen(dir_.path());
    ASSERT_TRUE(store->Ingest({MakeFlush(1, 0, 0, 2000, 1, "state")}).ok());
  }
  std::string rows_dir() const { return dir_.path() + "/rows"; }
  // The file of the rows is the larger one of the two.
  std::string RowsFile() const {
    std::string largest;
    for (const std::string& path : FilesWith(rows_dir(), ".sst")) {
      if (largest.empty() || std::filesystem::file_size(path) >
                                 std::filesystem::file_size(largest)) {
        largest = path;
      }
    }
    return largest;
  }
  absl::Status OpenStatus() const {
    return RowStore::Open(dir_.path(), RowStoreOptions()).status();
  }

  TempDir dir_;
};

TEST_F(RowStoreDamage, FlippedBitInARowIsDataLossForItsReaders) {
  std::string bytes = ReadWholeFile(RowsFile());
  bytes[bytes.size() / 2] ^= 1;
  WriteWholeFile(RowsFile(), bytes);
  auto store = MustOpen(dir_.path());
  auto status = store->ScanShard(
      1, 0, [](absl::string_view) { return absl::OkStatus(); });
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("table 1 shard 0"));
}

// Of rows that a shard wants back: all but those in the bad block, and those
// that are not there by name.
TEST_F(RowStoreDamage, AFlippedBitCostsAFetchTheRowsOfItsBlock) {
  std::string bytes = ReadWholeFile(RowsFile());
  bytes[bytes.size() / 2] ^= 1;
  WriteWholeFile(RowsFile(), bytes);
  auto store = MustOpen(dir_.path());
  RowsAsked asked;
  for (Key key = 0; key < 2001; ++key) asked.keys[1].push_back(key);
  const FetchedRows fetched = FetchRows(*store, {asked})[0];
  EXPECT_EQ(fetched.rows.rows.size() + fetched.failed.size(), 2001u);
  EXPECT_GT(fetched.failed.size(), 1u);
  EXPECT_LT(fetched.failed.size(), 20u);  // of 272 bytes, in 2 KiB
  for (const auto& [key, status] : fetched.failed) {
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  }
  EXPECT_THAT(std::string(fetched.failed.at({1, 2000}).message()),
              HasSubstr("row 2000 of table 1, shard 0 was evicted"));
  for (const RowRecord& row : fetched.rows.rows) {
    EXPECT_EQ(fetched.rows.Record(row), MakeRecord(row.key, 1));
  }
}

TEST_F(RowStoreDamage, TruncatedFileIsRefusedAtOpen) {
  std::filesystem::resize_file(RowsFile(), 1000);
  EXPECT_EQ(OpenStatus().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(OpenStatus().message()), HasSubstr("restore"));
}

TEST_F(RowStoreDamage, MissingFileIsRefusedAtOpen) {
  std::filesystem::remove(RowsFile());
  EXPECT_EQ(OpenStatus().code(), absl::StatusCode::kDataLoss);
}

TEST_F(RowStoreDamage, GarbageInManifestIsRefusedAtOpen) {
  for (const std::string& path : FilesWith(rows_dir(), "MANIFEST")) {
    WriteWholeFile(path, std::string(5000, '\xee'));
  }
  EXPECT_EQ(OpenStatus().code(), absl::StatusCode::kDataLoss);
}

TEST_F(RowStoreDamage, GarbageInCurrentIsRefusedAtOpen) {
  WriteWholeFile(rows_dir() + "/CURRENT", "MANIFEST-nonsense");
  EXPECT_EQ(OpenStatus().code(), absl::StatusCode::kDataLoss);
}

TEST_F(RowStoreDamage, AnotherProgramsDatabaseIsRefusedAtOpen) {
  for (const char* family : {"default", "theirs"}) {
    TempDir other;
    rocksdb::Options options;
    options.create_if_missing = true;
    rocksdb::DB* db = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open(options, other.path() + "/rows", &db).ok());
    ASSERT_TRUE(db->Put(rocksdb::WriteOptions(), "key", "value").ok());
    if (std::string(family) != "default") {
      rocksdb::ColumnFamilyHandle* handle = nullptr;
      ASSERT_TRUE(db->CreateColumnFamily(options, family, &handle).ok());
      db->DestroyColumnFamilyHandle(handle);
    }
    delete db;
    auto status = RowStore::Open(other.path(), RowStoreOptions()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("empty"));
  }
}

// Invariant 3: checksums are right, yet the record is not the row it is filed
// under (a bug in any layer below would look like this).
TEST_F(RowStoreDamage, RecordUnderAnotherKeyIsDataLoss) {
  const std::string sst = dir_.path() + "/forged.sst";
  const rocksdb::Options options;
  rocksdb::SstFileWriter writer(rocksdb::EnvOptions(), options);
  ASSERT_TRUE(writer.Open(sst).ok());
  // table 4, shard 0, key 1 holds the record of key 2.
  const std::string key("\0\0\0\4\0\0\0\0\0\0\0\0\0\0\0\1", 16);
  ASSERT_TRUE(writer.Put(key, MakeRecord(2, 1)).ok());
  ASSERT_TRUE(writer.Finish().ok());
  rocksdb::DB* db = nullptr;
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  ASSERT_TRUE(rocksdb::DB::Open(rocksdb::DBOptions(), rows_dir(),
                                {{"default", {}}, {"rows", {}}, {"state", {}}},
                                &handles, &db)
                  .ok());
  ASSERT_TRUE(db->IngestExternalFile(handles[1], {sst}, {}).ok());
  for (auto* handle : handles) db->DestroyColumnFamilyHandle(handle);
  delete db;

  auto store = MustOpen(dir_.path());
  auto status = store->ScanShard(
      4, 0, [](absl::string_view) { return absl::OkStatus(); });
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  RowsAsked asked;
  asked.keys[4] = {1};
  const FetchedRows fetched = FetchRows(*store, {asked})[0];
  ASSERT_EQ(fetched.failed.size(), 1u);
  EXPECT_EQ(fetched.failed.begin()->second.code(), absl::StatusCode::kDataLoss);
}

TEST_F(RowStoreDamage, SecondOpenOfTheSameStoreIsRefused) {
  auto store = MustOpen(dir_.path());
  EXPECT_EQ(OpenStatus().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(OpenStatus().message()),
              HasSubstr("another process uses it"));
  // And has not disturbed the first.
  EXPECT_TRUE(store->Ingest({MakeFlush(1, 0, 0, 10, 2)}).ok());
  EXPECT_EQ(ReadShard(*store, 1, 0).size(), 2000u);
}

}  // namespace
}  // namespace paramo
