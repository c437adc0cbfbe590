#include "server/coordinator/state_store.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/unit/server/coordinator/failing_kv.h"
#include "tests/unit/server/coordinator/test_util.h"

namespace paramo {
namespace {

using testing::ElementsAre;
using testing::Pair;

TEST(StateStore, WhatIsCommittedIsLoaded) {
  FailingKv kv;
  StateStore store(kv);
  ASSERT_TRUE(store.Load().ok());
  Changes changes;
  changes.Put("a", "1");
  changes.Put("b", "1");
  changes.Reserve("next/x", "9");
  ASSERT_TRUE(store.Commit(changes).ok());
  changes.Clear();
  changes.Put("a", "2");
  changes.Delete("b");
  changes.Delete("never-stored");
  ASSERT_TRUE(store.Commit(changes).ok());

  StateStore reloaded(kv);
  auto entries = reloaded.Load();
  ASSERT_TRUE(entries.ok());
  EXPECT_THAT(*entries, ElementsAre(Pair("a", "2"), Pair("next/x", "9")));
  EXPECT_EQ(reloaded.revision(), store.revision());
}

TEST(StateStore, OneStepIsOneTransactionAndALongOneIsSplit) {
  FailingKv kv;
  StateStore store(kv);
  ASSERT_TRUE(store.Load().ok());
  Changes changes;
  for (size_t i = 0; i < kKvTxnOperationsMax; ++i) {
    changes.Put(absl::StrCat("k", i), "v");
  }
  ASSERT_TRUE(store.Commit(changes).ok());
  EXPECT_EQ(kv.txns, 1);
  changes.Put("one-more", "v");
  ASSERT_TRUE(store.Commit(changes).ok());
  EXPECT_EQ(kv.txns, 3);
  changes.Clear();
  changes.Put("big-1", std::string(kKvTxnBytesMax - 100, 'x'));
  changes.Put("big-2", std::string(kKvTxnBytesMax - 100, 'x'));
  ASSERT_TRUE(store.Commit(changes).ok());
  EXPECT_EQ(kv.txns, 5);
}

TEST(StateStore, AnotherWriterIsNoticed) {
  FailingKv kv;
  StateStore mine(kv), other(kv);
  ASSERT_TRUE(mine.Load().ok());
  ASSERT_TRUE(other.Load().ok());
  Changes changes;
  changes.Put("k", "theirs");
  ASSERT_TRUE(other.Commit(changes).ok());
  changes.Put("k", "mine");
  EXPECT_CODE(kAborted, mine.Commit(changes));
  StateStore reloaded(kv);
  EXPECT_THAT(*reloaded.Load(), ElementsAre(Pair("k", "theirs")));
}

}  // namespace
}  // namespace paramo
