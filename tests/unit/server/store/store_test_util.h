// Directories that go away, and rows to put into them.
#pragma once

#include <sys/mount.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "server/store/row_store.h"
#include "server/store/shard_flush.h"

namespace paramo {

class TempDir {
 public:
  TempDir() {
    char name[] = "/tmp/paramo_store_XXXXXX";
    const char* made = mkdtemp(name);
    EXPECT_NE(made, nullptr);
    path_ = made;
  }
  ~TempDir() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline constexpr absl::Duration kPatience = absl::Seconds(20);

template <typename Condition>
bool WaitUntil(const Condition& condition) {
  const absl::Time deadline = absl::Now() + kPatience;
  while (!condition()) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(1));  // leaves the processor to others
  }
  return true;
}

// A record of `bytes` bytes: header with key and lsn, then bytes that are a
// function of both.
inline std::string MakeRecord(Key key, Lsn lsn, size_t bytes = 272) {
  std::string record(bytes, '\0');
  for (size_t i = 0; i + 8 <= bytes; i += 8) {
    const uint64_t word = Mix64(key * 31 + lsn * 17 + i);
    std::memcpy(record.data() + i, &word, 8);
  }
  std::memcpy(record.data(), &key, 8);
  std::memcpy(record.data() + 8, &lsn, 8);
  return record;
}

inline ShardFlush MakeFlush(TableId table, ShardId shard, Key first,
                            size_t rows, Lsn lsn, std::string state = "") {
  ShardFlush flush;
  flush.shard = shard;
  flush.state = std::move(state);
  for (Key key = first; key < first + rows; ++key) {
    flush.AddRow(table, MakeRecord(key, lsn));
  }
  return flush;
}

inline std::unique_ptr<RowStore> MustOpen(const std::string& dir,
                                          const RowStoreOptions& options = {}) {
  auto store = RowStore::Open(dir, options);
  EXPECT_TRUE(store.ok()) << ToString(store.status());
  return store.ok() ? *std::move(store) : nullptr;
}

// Every record of a shard of a table, by key.
inline std::map<Key, std::string> ReadShard(const RowStore& store,
                                            TableId table, ShardId shard) {
  std::map<Key, std::string> rows;
  const absl::Status status =
      store.ScanShard(table, shard, [&](absl::string_view record) {
        Key key;
        std::memcpy(&key, record.data(), sizeof(key));
        EXPECT_TRUE(rows.empty() || rows.rbegin()->first < key);
        rows.emplace(key, std::string(record.data(), record.size()));
        return absl::OkStatus();
      });
  EXPECT_TRUE(status.ok()) << ToString(status);
  return rows;
}

inline void WriteWholeFile(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}
inline std::string ReadWholeFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// A tmpfs of 32 MiB under `dir`, for as long as it lives.
class SmallDisk {
 public:
  explicit SmallDisk(const std::string& dir) : dir_(dir) {
    mounted_ = mount("tmpfs", dir.c_str(), "tmpfs", 0, "size=32m") == 0;
  }
  ~SmallDisk() {
    if (mounted_) umount2(dir_.c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }
  std::string ballast() const { return dir_ + "/ballast"; }
  // Takes all but `free_bytes` of it.
  void Fill(size_t free_bytes) {
    const auto space = std::filesystem::space(dir_);
    ASSERT_GE(space.available, free_bytes);
    WriteWholeFile(ballast(), std::string(space.available - free_bytes, 'x'));
  }

 private:
  const std::string dir_;
  bool mounted_;
};

}  // namespace paramo
