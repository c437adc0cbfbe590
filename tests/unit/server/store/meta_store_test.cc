#include "server/store/meta_store.h"

#include <vector>

#include "tests/unit/server/store/store_test_util.h"

namespace paramo {
namespace {

std::unique_ptr<MetaStore> MustOpenMeta(const std::string& dir) {
  auto store = MetaStore::Open(dir);
  EXPECT_TRUE(store.ok()) << ToString(store.status());
  return store.ok() ? *std::move(store) : nullptr;
}

TEST(MetaStore, RemembersAcrossReopen) {
  TempDir dir;
  {
    auto store = MustOpenMeta(dir.path());
    ASSERT_TRUE(store->Put("catalogue", std::string("a\0b", 3)).ok());
    ASSERT_TRUE(store->Put("gone", "x").ok());
    ASSERT_TRUE(store->Delete("gone").ok());
    ASSERT_TRUE(store->Delete("never there").ok());
  }
  auto store = MustOpenMeta(dir.path());
  EXPECT_EQ(*store->Get("catalogue"),
            std::optional<std::string>(std::string("a\0b", 3)));
  EXPECT_EQ(*store->Get("gone"), std::nullopt);
}

TEST(MetaStore, ScansOnePrefixInOrder) {
  TempDir dir;
  auto store = MustOpenMeta(dir.path());
  for (const char* key : {"table/2", "table/1", "tab", "tablf", "table/10"}) {
    ASSERT_TRUE(store->Put(key, key).ok());
  }
  std::vector<std::string> keys;
  ASSERT_TRUE(store
                  ->Scan("table/",
                         [&](absl::string_view key, absl::string_view value) {
                           EXPECT_EQ(key, value);
                           keys.emplace_back(key.data(), key.size());
                           return absl::OkStatus();
                         })
                  .ok());
  EXPECT_EQ(keys, (std::vector<std::string>{"table/1", "table/10", "table/2"}));
  EXPECT_EQ(store->Scan("",
                        [](absl::string_view, absl::string_view) {
                          return absl::CancelledError("stop");
                        }),
            absl::CancelledError("stop"));
}

TEST(MetaStore, FullDiskIsRefusedAndRecoveredFrom) {
  TempDir dir;
  SmallDisk disk(dir.path());
  if (!disk.mounted()) GTEST_SKIP() << "mounting a tmpfs needs root";
  auto store = MustOpenMeta(dir.path());
  const std::string value(100'000, 'v');
  disk.Fill(300'000);
  int stored = 0;
  absl::Status status;
  while (status.ok()) {
    status = store->Put(absl::StrCat("key ", stored), value);
    if (status.ok()) ++stored;
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted)
      << ToString(status);
  EXPECT_EQ(*store->Get("key 0"), std::optional<std::string>(value));

  std::filesystem::remove(disk.ballast());
  EXPECT_TRUE(WaitUntil([&] {
    status = store->Put(absl::StrCat("key ", stored), value);
    return status.ok();
  })) << ToString(status);
  ++stored;
  store.reset();
  store = MustOpenMeta(dir.path());
  for (int i = 0; i < stored; ++i) {
    auto found = store->Get(absl::StrCat("key ", i));
    ASSERT_TRUE(found.ok()) << ToString(found.status());
    EXPECT_EQ(*found, std::optional<std::string>(value)) << i;
  }
}

TEST(MetaStore, DamageIsRefusedAtOpen) {
  TempDir dir;
  { ASSERT_TRUE(MustOpenMeta(dir.path())->Put("a", "b").ok()); }
  WriteWholeFile(dir.path() + "/meta/CURRENT", "nonsense");
  EXPECT_EQ(MetaStore::Open(dir.path()).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST(MetaStore, IsNotMadeWhereItShouldBe) {
  TempDir dir;
  EXPECT_EQ(MetaStore::Open(dir.path(), /*create=*/false).status().code(),
            absl::StatusCode::kFailedPrecondition);
  { MustOpenMeta(dir.path()); }
  EXPECT_TRUE(MetaStore::Open(dir.path(), /*create=*/false).ok());
}

}  // namespace
}  // namespace paramo
