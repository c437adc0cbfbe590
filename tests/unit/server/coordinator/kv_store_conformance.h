// What every KvStore must do. A new store registers a factory with
//   INSTANTIATE_TEST_SUITE_P(Name, KvStoreConformance, Values(factory));
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/clock/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/coordinator/kv_store.h"
#include "tests/unit/server/coordinator/test_util.h"

namespace paramo {

// One empty store. `Reopen` is what a restart of the process (embedded) or of
// the store (etcd) does; `Pass` lets time go by for leases.
class KvStoreFixture {
 public:
  virtual ~KvStoreFixture() = default;
  virtual KvStore& store() = 0;
  virtual void Reopen() = 0;
  virtual void Pass(absl::Duration time) = 0;
};
using KvStoreFactory = std::function<std::unique_ptr<KvStoreFixture>()>;

class KvStoreConformance : public testing::TestWithParam<KvStoreFactory> {
 protected:
  KvStoreConformance() : fixture_(GetParam()()) {}
  KvStore& kv() { return fixture_->store(); }

  // Puts without a guard; returns the revision.
  int64_t Put(const std::string& key, const std::string& value,
              int64_t lease = 0) {
    KvTxn txn;
    txn.puts.push_back({key, value, lease});
    auto result = kv().Txn(txn);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? result->revision : -1;
  }
  // "key=value" of everything below `prefix`.
  std::vector<std::string> Dump(const std::string& prefix = "") {
    std::vector<std::string> dump;
    auto range = kv().Range(prefix);
    EXPECT_TRUE(range.ok()) << range.status();
    for (const KvEntry& entry : range->entries) {
      dump.push_back(entry.key + "=" + entry.value);
    }
    return dump;
  }
  bool TryPut(const KvCompare& compare, const std::string& value) {
    KvTxn txn;
    txn.compares.push_back(compare);
    txn.puts.push_back({compare.key, value, 0});
    auto result = kv().Txn(txn);
    EXPECT_TRUE(result.ok()) << result.status();
    return result->succeeded;
  }

  std::unique_ptr<KvStoreFixture> fixture_;
};

using testing::ElementsAre;
using testing::IsEmpty;

TEST_P(KvStoreConformance, RangesByPrefixInOrderOfKey) {
  Put("b/2", "x");
  Put("a", "y");
  Put("b/1", "z");
  Put("b", "w");
  EXPECT_THAT(Dump("b/"), ElementsAre("b/1=z", "b/2=x"));
  EXPECT_THAT(Dump(), ElementsAre("a=y", "b=w", "b/1=z", "b/2=x"));
  EXPECT_THAT(Dump("c"), IsEmpty());
}

TEST_P(KvStoreConformance, KeepsAnyBytes) {
  std::string bytes("\0\xff\n\x80", 4);
  Put("k", bytes);
  Put("empty", "");
  EXPECT_THAT(Dump(), ElementsAre("empty=", "k=" + bytes));
}

TEST_P(KvStoreConformance, RevisionsGrowAndAreKeptPerKey) {
  int64_t first = Put("k", "1");
  int64_t second = Put("k", "2");
  EXPECT_GT(second, first);
  auto range = kv().Range("k");
  ASSERT_TRUE(range.ok());
  EXPECT_EQ(range->revision, second);
  EXPECT_EQ(range->entries[0].create_revision, first);
  EXPECT_EQ(range->entries[0].mod_revision, second);
}

TEST_P(KvStoreConformance, GuardsByModRevisionNotByValue) {
  int64_t seen = Put("k", "old");
  Put("k", "new");
  Put("k", "old");  // the value came back, the revision did not
  EXPECT_FALSE(TryPut({"k", KvCompare::Target::kModRevision, seen}, "mine"));
  EXPECT_THAT(Dump(), ElementsAre("k=old"));
}

TEST_P(KvStoreConformance, CreatesOnlyWhatIsAbsent) {
  EXPECT_TRUE(TryPut({"k", KvCompare::Target::kCreateRevision, 0}, "1"));
  EXPECT_FALSE(TryPut({"k", KvCompare::Target::kCreateRevision, 0}, "2"));
  EXPECT_THAT(Dump(), ElementsAre("k=1"));
}

TEST_P(KvStoreConformance, ATransactionHappensWholeOrNotAtAll) {
  int64_t seen = Put("guard", "1");
  Put("gone", "1");
  KvTxn txn;
  txn.compares.push_back({"guard", KvCompare::Target::kModRevision, seen});
  txn.puts.push_back({"a", "1", 0});
  txn.puts.push_back({"b", "1", 0});
  txn.deletes.push_back("gone");
  auto result = kv().Txn(txn);
  ASSERT_TRUE(result.ok());
  EXPECT_TRUE(result->succeeded);
  EXPECT_THAT(Dump(), ElementsAre("a=1", "b=1", "guard=1"));
  auto range = kv().Range("");
  for (const KvEntry& entry : range->entries) {
    EXPECT_EQ(entry.mod_revision,
              entry.key == "guard" ? seen : result->revision);
  }

  txn.compares[0].revision = seen + 1;
  txn.puts[0].value = "2";
  result = kv().Txn(txn);
  ASSERT_TRUE(result.ok());
  EXPECT_FALSE(result->succeeded);
  EXPECT_THAT(Dump("a"), ElementsAre("a=1"));
}

TEST_P(KvStoreConformance, ADeletedKeyIsANewKeyAfterwards) {
  int64_t first = Put("k", "1");
  KvTxn txn;
  txn.deletes.push_back("k");
  ASSERT_TRUE(kv().Txn(txn).ok());
  Put("k", "2");
  EXPECT_GT(kv().Range("k")->entries[0].create_revision, first);
}

TEST_P(KvStoreConformance, RefusesBadTransactions) {
  KvTxn twice;
  twice.puts.push_back({"k", "1", 0});
  twice.deletes.push_back("k");
  EXPECT_CODE(kInvalidArgument, kv().Txn(twice));
  KvTxn unnamed;
  unnamed.puts.push_back({"", "1", 0});
  EXPECT_CODE(kInvalidArgument, kv().Txn(unnamed));
  KvTxn many;
  for (size_t i = 0; i <= kKvTxnOperationsMax; ++i) {
    many.puts.push_back({absl::StrCat("k", i), "", 0});
  }
  EXPECT_CODE(kInvalidArgument, kv().Txn(many));
  many.puts.pop_back();
  EXPECT_TRUE(kv().Txn(many).ok());
  KvTxn big;
  big.puts.push_back({"k", std::string(kKvTxnBytesMax, 'x'), 0});
  EXPECT_CODE(kInvalidArgument, kv().Txn(big));
}

TEST_P(KvStoreConformance, SurvivesAReopen) {
  Put("a", "1");
  int64_t revision = Put("b", "2");
  auto before = kv().Range("");
  fixture_->Reopen();
  EXPECT_THAT(Dump(), ElementsAre("a=1", "b=2"));
  auto after = kv().Range("");
  EXPECT_EQ(after->entries[0].create_revision,
            before->entries[0].create_revision);
  EXPECT_EQ(after->entries[1].mod_revision, revision);
  EXPECT_GT(Put("c", "3"), revision);
}

TEST_P(KvStoreConformance, AWatchSeesEveryChangeInOrderFromItsRevision) {
  Put("w/a", "before");
  int64_t from = Put("w/a", "1");
  auto watch = kv().Watch("w/", from);
  ASSERT_TRUE(watch.ok()) << watch.status();
  Put("other", "x");
  Put("w/b", "2");
  KvTxn txn;
  txn.deletes.push_back("w/a");
  ASSERT_TRUE(kv().Txn(txn).ok());

  std::vector<std::string> seen;
  while (seen.size() < 3) {
    auto events = (*watch)->Next(absl::Seconds(10));
    ASSERT_TRUE(events.ok()) << events.status();
    ASSERT_FALSE(events->empty());
    for (const KvEvent& event : *events) {
      bool put = event.type == KvEvent::Type::kPut;
      seen.push_back(event.entry.key + (put ? "=" + event.entry.value : "-"));
    }
  }
  EXPECT_THAT(seen, ElementsAre("w/a=1", "w/b=2", "w/a-"));
  EXPECT_THAT(*(*watch)->Next(absl::ZeroDuration()), IsEmpty());
}

TEST_P(KvStoreConformance, AWaitingWatchIsWokenByAChange) {
  int64_t revision = Put("k", "0");
  auto watch = kv().Watch("k", revision + 1);
  ASSERT_TRUE(watch.ok());
  std::thread writer([this] { Put("k", "1"); });
  auto events = (*watch)->Next(absl::Seconds(30));
  writer.join();
  ASSERT_TRUE(events.ok());
  ASSERT_EQ(events->size(), 1u);
  EXPECT_EQ((*events)[0].entry.value, "1");
}

TEST_P(KvStoreConformance, AWatchOfForgottenHistorySaysSo) {
  int64_t first = Put("k", "0");
  fixture_->Reopen();  // in-process watches remember nothing older
  auto watch = kv().Watch("k", first);
  if (watch.ok()) {  // a store that remembers must show it
    auto events = (*watch)->Next(absl::Seconds(10));
    ASSERT_TRUE(events.ok());
    EXPECT_EQ(events->size(), 1u);
  } else {
    EXPECT_CODE(kOutOfRange, watch);
  }
}

TEST_P(KvStoreConformance, ALeaseTakesItsKeysWithIt) {
  auto lease = kv().GrantLease(absl::Seconds(3));
  ASSERT_TRUE(lease.ok());
  int64_t revision = Put("leased", "1", *lease);
  Put("stays", "1");
  auto watch = kv().Watch("leased", revision + 1);
  ASSERT_TRUE(watch.ok());
  fixture_->Pass(absl::Seconds(2));
  EXPECT_THAT(Dump(), ElementsAre("leased=1", "stays=1"));
  EXPECT_EQ(*kv().KeepLeaseAlive(*lease), absl::Seconds(3));
  fixture_->Pass(absl::Seconds(2));
  EXPECT_THAT(Dump(), ElementsAre("leased=1", "stays=1"));
  fixture_->Pass(absl::Seconds(4));
  EXPECT_THAT(Dump(), ElementsAre("stays=1"));
  auto events = (*watch)->Next(absl::Seconds(10));
  ASSERT_TRUE(events.ok());
  ASSERT_EQ(events->size(), 1u);
  EXPECT_EQ((*events)[0].type, KvEvent::Type::kDelete);
}

TEST_P(KvStoreConformance, ADeadLeaseAnswersZeroAndTakesNoPut) {
  auto lease = kv().GrantLease(absl::Seconds(2));
  ASSERT_TRUE(lease.ok());
  fixture_->Pass(absl::Seconds(5));
  auto left = kv().KeepLeaseAlive(*lease);
  ASSERT_TRUE(left.ok());
  EXPECT_EQ(*left, absl::ZeroDuration());
  KvTxn txn;
  txn.puts.push_back({"k", "1", *lease});
  EXPECT_CODE(kNotFound, kv().Txn(txn));
}

TEST_P(KvStoreConformance, RevokingEndsALeaseAtOnceAndTwiceIsFine) {
  auto lease = kv().GrantLease(absl::Seconds(60));
  ASSERT_TRUE(lease.ok());
  Put("leased", "1", *lease);
  EXPECT_TRUE(kv().RevokeLease(*lease).ok());
  EXPECT_THAT(Dump(), IsEmpty());
  EXPECT_TRUE(kv().RevokeLease(*lease).ok());
}

TEST_P(KvStoreConformance, AKeyPutAgainWithoutLeaseStays) {
  auto lease = kv().GrantLease(absl::Seconds(60));
  ASSERT_TRUE(lease.ok());
  Put("k", "1", *lease);
  Put("k", "2");
  EXPECT_TRUE(kv().RevokeLease(*lease).ok());
  EXPECT_THAT(Dump(), ElementsAre("k=2"));
}

TEST_P(KvStoreConformance, ALeaseHasItsWholeTimeAgainAfterAReopen) {
  auto lease = kv().GrantLease(absl::Seconds(4));
  ASSERT_TRUE(lease.ok());
  Put("k", "1", *lease);
  fixture_->Pass(absl::Seconds(3));
  fixture_->Reopen();
  fixture_->Pass(absl::Seconds(3));
  EXPECT_THAT(Dump(), ElementsAre("k=1"));
  fixture_->Pass(absl::Seconds(3));
  EXPECT_THAT(Dump(), IsEmpty());
}

}  // namespace paramo
