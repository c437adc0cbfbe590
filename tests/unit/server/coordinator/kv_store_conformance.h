// What every KvStore must do. A new store registers a factory with
//   INSTANTIATE_TEST_SUITE_P(Name, KvStoreConformance, Values(factory));
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/clock/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/coordinator/kv_store.h"
#include "tests/unit/server/coordinator/test_util.h"

namespace paramo {

// One empty store. `Reopen` is what a restart of the process (embedded) or of
// the store (etcd) does; `Pass` lets time go by for leases, on the store's own
// clock; `Await` gives what time alone brings about its chance to happen.
class KvStoreFixture {
 public:
  virtual ~KvStoreFixture() = default;
  virtual KvStore& store() = 0;
  virtual void Reopen() = 0;
  virtual void Pass(absl::Duration time) = 0;
  virtual bool Await(const std::function<bool()>& condition) = 0;
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

  // Puts "" to each, in one transaction.
  int64_t PutAll(const std::vector<std::string>& keys, int64_t lease = 0) {
    KvTxn txn;
    for (const std::string& key : keys) txn.puts.push_back({key, "", lease});
    auto result = kv().Txn(txn);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? result->revision : -1;
  }
  int64_t Delete(const std::string& key) {
    KvTxn txn;
    txn.deletes.push_back(key);
    auto result = kv().Txn(txn);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? result->revision : -1;
  }
  KvEntry Get(const std::string& key) {
    auto range = kv().Range(key);
    EXPECT_TRUE(range.ok()) << range.status();
    for (const KvEntry& entry : range->entries) {
      if (entry.key == key) return entry;
    }
    ADD_FAILURE() << key << " is not there";
    return {};
  }
  bool Holds(const KvCompare& compare) {
    KvTxn txn;
    txn.compares.push_back(compare);
    auto result = kv().Txn(txn);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() && result->succeeded;
  }
  std::unique_ptr<KvWatch> WatchFrom(const std::string& prefix,
                                     int64_t revision) {
    auto watch = kv().Watch(prefix, revision);
    EXPECT_TRUE(watch.ok()) << watch.status();
    return watch.ok() ? std::move(*watch) : nullptr;
  }
  // The next `count` events, "key=value" and "key-".
  static std::vector<KvEvent> Read(KvWatch& watch, size_t count) {
    std::vector<KvEvent> seen;
    while (seen.size() < count) {
      auto events = watch.Next(absl::Seconds(20));
      if (!events.ok() || events->empty()) {
        ADD_FAILURE() << events.status() << " after " << seen.size();
        break;
      }
      seen.insert(seen.end(), events->begin(), events->end());
    }
    return seen;
  }
  static std::vector<std::string> Show(const std::vector<KvEvent>& events) {
    std::vector<std::string> text;
    for (const KvEvent& event : events) {
      bool put = event.type == KvEvent::Type::kPut;
      text.push_back(event.entry.key + (put ? "=" + event.entry.value : "-"));
    }
    return text;
  }
  // What a watch says when its history is gone, at once or when asked.
  absl::Status Fate(const std::string& prefix, int64_t revision) {
    auto watch = kv().Watch(prefix, revision);
    if (!watch.ok()) return watch.status();
    return (*watch)->Next(absl::Seconds(10)).status();
  }
  int64_t Grant(absl::Duration ttl) {
    auto lease = kv().GrantLease(ttl);
    EXPECT_TRUE(lease.ok()) << lease.status();
    return lease.ok() ? *lease : 0;
  }
  bool Gone(const std::string& prefix) {
    return fixture_->Await([&] { return Dump(prefix).empty(); });
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

TEST_P(KvStoreConformance, AWatchOfHistoryBeforeAReopenShowsItOrSaysSo) {
  int64_t first = Put("k", "0");
  fixture_->Reopen();  // in-process watches remember nothing older
  auto watch = kv().Watch("k", first);
  absl::Status fate = watch.status();
  if (watch.ok()) {
    auto events = (*watch)->Next(absl::Seconds(10));
    fate = events.status();
    if (events.ok()) {
      EXPECT_EQ(events->size(), 1u);
    }
  }
  if (!fate.ok()) {
    EXPECT_CODE(kOutOfRange, fate);
  }
}

TEST_P(KvStoreConformance, ALeaseTakesItsKeysWithIt) {
  int64_t lease = Grant(absl::Seconds(4));
  int64_t revision = Put("leased", "1", lease);
  Put("stays", "1");
  auto watch = WatchFrom("leased", revision + 1);
  fixture_->Pass(absl::Seconds(2));
  EXPECT_THAT(Dump(), ElementsAre("leased=1", "stays=1"));
  EXPECT_EQ(*kv().KeepLeaseAlive(lease), absl::Seconds(4));
  fixture_->Pass(absl::Milliseconds(2500));
  EXPECT_THAT(Dump(), ElementsAre("leased=1", "stays=1"));
  fixture_->Pass(absl::Seconds(2));
  EXPECT_TRUE(Gone("leased"));
  EXPECT_THAT(Dump(), ElementsAre("stays=1"));
  EXPECT_THAT(Show(Read(*watch, 1)), ElementsAre("leased-"));
}

TEST_P(KvStoreConformance, ADeadLeaseAnswersZeroAndTakesNoPut) {
  int64_t lease = Grant(absl::Seconds(2));
  Put("leased", "1", lease);
  fixture_->Pass(absl::Seconds(2));
  EXPECT_TRUE(Gone("leased"));
  auto left = kv().KeepLeaseAlive(lease);
  ASSERT_TRUE(left.ok()) << left.status();
  EXPECT_EQ(*left, absl::ZeroDuration());
  KvTxn txn;
  txn.puts.push_back({"k", "1", lease});
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
  int64_t lease = Grant(absl::Seconds(5));
  Put("k", "1", lease);
  fixture_->Pass(absl::Seconds(3));
  fixture_->Reopen();
  fixture_->Pass(absl::Seconds(3));
  EXPECT_THAT(Dump(), ElementsAre("k=1"));
  fixture_->Pass(absl::Seconds(2));
  EXPECT_TRUE(Gone("k"));
}

// ---- Ranges -----------------------------------------------------------------

TEST_P(KvStoreConformance, ARangeOfNothingHasTheStoresRevision) {
  int64_t revision = Put("a", "1");
  auto range = kv().Range("zzz");
  ASSERT_TRUE(range.ok());
  EXPECT_THAT(range->entries, IsEmpty());
  EXPECT_GE(range->revision, revision);
}

TEST_P(KvStoreConformance, RangesManyKeysWholeAndInOrder) {
  std::vector<std::string> keys;
  for (int i = 0; i < 300; ++i) keys.push_back(absl::StrFormat("k%03d", i));
  for (size_t i = 0; i < keys.size(); i += 100) {
    PutAll({keys.begin() + i, keys.begin() + i + 100});
  }
  auto range = kv().Range("k");
  ASSERT_TRUE(range.ok());
  std::vector<std::string> read;
  for (const KvEntry& entry : range->entries) read.push_back(entry.key);
  EXPECT_EQ(read, keys);
}

TEST_P(KvStoreConformance, RangesLargeValues) {
  const std::string value(400'000, 'v');
  for (int i = 0; i < 40; ++i) Put(absl::StrFormat("k%02d", i), value);
  auto range = kv().Range("k");
  ASSERT_TRUE(range.ok()) << range.status();
  ASSERT_EQ(range->entries.size(), 40u);
  for (const KvEntry& entry : range->entries) EXPECT_EQ(entry.value, value);
}

TEST_P(KvStoreConformance, ARangeIsOfOneMoment) {
  // Every transaction gives all keys one value; more keys than fit one page.
  auto write = [this](int value) {
    KvTxn txn;
    for (int i = 0; i < 100; ++i) {
      txn.puts.push_back({absl::StrCat("k", i), absl::StrCat(value), 0});
    }
    EXPECT_TRUE(kv().Txn(txn).ok());
  };
  write(0);
  std::thread writer([&] {
    for (int value = 1; value <= 40; ++value) write(value);
  });
  for (int i = 0; i < 40; ++i) {
    auto range = kv().Range("k");
    ASSERT_TRUE(range.ok()) << range.status();
    ASSERT_EQ(range->entries.size(), 100u);
    for (const KvEntry& entry : range->entries) {
      EXPECT_EQ(entry.value, range->entries[0].value);
      EXPECT_LE(entry.mod_revision, range->revision);
    }
  }
  writer.join();
}

TEST_P(KvStoreConformance, APrefixMayEndInTheLargestByte) {
  const std::string prefix = "p\xff";
  Put(prefix + "a", "1");
  Put("q", "2");
  EXPECT_THAT(Dump(prefix), ElementsAre(prefix + "a=1"));
}

TEST_P(KvStoreConformance, AKeyMayHoldAnyByte) {
  const std::string key("a\0\n\xff/", 5);
  Put(key, "1");
  EXPECT_THAT(Dump("a"), ElementsAre(key + "=1"));
  EXPECT_THAT(Dump(key), ElementsAre(key + "=1"));
}

TEST_P(KvStoreConformance, AnEmptyValueIsNotAbsence) {
  int64_t revision = Put("k", "");
  EXPECT_EQ(Get("k").mod_revision, revision);
  EXPECT_FALSE(TryPut({"k", KvCompare::Target::kModRevision, 0}, "x"));
}

TEST_P(KvStoreConformance, AnEntryNamesItsLease) {
  int64_t lease = Grant(absl::Seconds(60));
  Put("with", "1", lease);
  Put("without", "1");
  EXPECT_EQ(Get("with").lease, lease);
  EXPECT_EQ(Get("without").lease, 0);
}

// ---- Transactions -----------------------------------------------------------

TEST_P(KvStoreConformance, AnEmptyTransactionSucceeds) {
  int64_t before = Put("k", "1");
  auto result = kv().Txn(KvTxn());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->succeeded);
  EXPECT_GE(result->revision, before);
  EXPECT_EQ(Get("k").mod_revision, before);
}

TEST_P(KvStoreConformance, ComparesAloneAskWithoutWriting) {
  int64_t revision = Put("k", "1");
  EXPECT_TRUE(Holds({"k", KvCompare::Target::kModRevision, revision}));
  EXPECT_FALSE(Holds({"k", KvCompare::Target::kModRevision, revision + 1}));
  EXPECT_EQ(Get("k").mod_revision, revision);
}

TEST_P(KvStoreConformance, AnAbsentKeyHasRevisionZero) {
  EXPECT_TRUE(Holds({"none", KvCompare::Target::kModRevision, 0}));
  EXPECT_TRUE(Holds({"none", KvCompare::Target::kCreateRevision, 0}));
  EXPECT_FALSE(Holds({"none", KvCompare::Target::kModRevision, 1}));
}

TEST_P(KvStoreConformance, AGuardMayBeOnAKeyThatIsNotWritten) {
  int64_t revision = Put("guard", "1");
  KvTxn txn;
  txn.compares.push_back({"guard", KvCompare::Target::kModRevision, revision});
  txn.puts.push_back({"other", "1", 0});
  ASSERT_TRUE(kv().Txn(txn)->succeeded);
  Put("guard", "2");
  txn.puts[0].value = "2";
  EXPECT_FALSE(kv().Txn(txn)->succeeded);
  EXPECT_THAT(Dump("other"), ElementsAre("other=1"));
}

TEST_P(KvStoreConformance, AllGuardsMustHold) {
  int64_t a = Put("a", "1");
  int64_t b = Put("b", "1");
  KvTxn txn;
  txn.compares.push_back({"a", KvCompare::Target::kModRevision, a});
  txn.compares.push_back({"b", KvCompare::Target::kModRevision, b + 1});
  txn.puts.push_back({"c", "1", 0});
  EXPECT_FALSE(kv().Txn(txn)->succeeded);
  txn.compares[1].revision = b;
  EXPECT_TRUE(kv().Txn(txn)->succeeded);
  EXPECT_THAT(Dump("c"), ElementsAre("c=1"));
}

TEST_P(KvStoreConformance, CreateAndModGuardsOfOneKeyGoTogether) {
  int64_t created = Put("k", "1");
  int64_t changed = Put("k", "2");
  KvTxn txn;
  txn.compares.push_back({"k", KvCompare::Target::kCreateRevision, created});
  txn.compares.push_back({"k", KvCompare::Target::kModRevision, changed});
  txn.puts.push_back({"k", "3", 0});
  EXPECT_TRUE(kv().Txn(txn)->succeeded);
  EXPECT_FALSE(kv().Txn(txn)->succeeded);
}

TEST_P(KvStoreConformance, ACreateGuardHoldsOverPuts) {
  int64_t created = Put("fence", "1");
  Put("fence", "2");
  EXPECT_EQ(Get("fence").create_revision, created);
  EXPECT_TRUE(Holds({"fence", KvCompare::Target::kCreateRevision, created}));
}

TEST_P(KvStoreConformance, ACreateGuardFailsOnceTheKeyWasMadeAgain) {
  int64_t created = Put("fence", "1");
  Delete("fence");
  EXPECT_FALSE(Holds({"fence", KvCompare::Target::kCreateRevision, created}));
  Put("fence", "1");
  EXPECT_FALSE(Holds({"fence", KvCompare::Target::kCreateRevision, created}));
}

TEST_P(KvStoreConformance, ACreateGuardFailsOnceTheLeaseIsOver) {
  int64_t lease = Grant(absl::Seconds(60));
  int64_t created = Put("fence", "1", lease);
  EXPECT_TRUE(Holds({"fence", KvCompare::Target::kCreateRevision, created}));
  ASSERT_TRUE(kv().RevokeLease(lease).ok());
  EXPECT_FALSE(Holds({"fence", KvCompare::Target::kCreateRevision, created}));
}

TEST_P(KvStoreConformance, AFailedGuardDeletesNothing) {
  Put("k", "1");
  KvTxn txn;
  txn.compares.push_back({"k", KvCompare::Target::kModRevision, 0});
  txn.deletes.push_back("k");
  EXPECT_FALSE(kv().Txn(txn)->succeeded);
  EXPECT_THAT(Dump(), ElementsAre("k=1"));
}

TEST_P(KvStoreConformance, DeletingWhatIsNotThereIsFine) {
  Put("k", "1");
  Delete("none");
  EXPECT_THAT(Dump(), ElementsAre("k=1"));
}

TEST_P(KvStoreConformance, TheSameValueAgainIsAChange) {
  int64_t first = Put("k", "same");
  int64_t second = Put("k", "same");
  EXPECT_GT(second, first);
  EXPECT_EQ(Get("k").mod_revision, second);
}

TEST_P(KvStoreConformance, RefusesAKeyTwiceAmongPuts) {
  KvTxn txn;
  txn.puts.push_back({"k", "1", 0});
  txn.puts.push_back({"k", "2", 0});
  EXPECT_CODE(kInvalidArgument, kv().Txn(txn));
  EXPECT_THAT(Dump(), IsEmpty());
}

TEST_P(KvStoreConformance, RefusesAKeyTwiceAmongDeletes) {
  Put("k", "1");
  KvTxn txn;
  txn.deletes = {"k", "k"};
  EXPECT_CODE(kInvalidArgument, kv().Txn(txn));
  EXPECT_THAT(Dump(), ElementsAre("k=1"));
}

TEST_P(KvStoreConformance, RefusesToDeleteTheEmptyKey) {
  KvTxn txn;
  txn.deletes.push_back("");
  EXPECT_CODE(kInvalidArgument, kv().Txn(txn));
}

TEST_P(KvStoreConformance, RefusesTooManyCompares) {
  KvTxn txn;
  for (size_t i = 0; i <= kKvTxnOperationsMax; ++i) {
    txn.compares.push_back(
        {absl::StrCat("k", i), KvCompare::Target::kModRevision, 0});
  }
  EXPECT_CODE(kInvalidArgument, kv().Txn(txn));
  txn.compares.pop_back();
  EXPECT_TRUE(kv().Txn(txn)->succeeded);
}

TEST_P(KvStoreConformance, PutsAndDeletesCountTogether) {
  KvTxn txn;
  for (size_t i = 0; i < kKvTxnOperationsMax; ++i) {
    txn.puts.push_back({absl::StrCat("k", i), "", 0});
  }
  txn.deletes.push_back("one-more");
  EXPECT_CODE(kInvalidArgument, kv().Txn(txn));
  EXPECT_THAT(Dump(), IsEmpty());
}

TEST_P(KvStoreConformance, TheLargestTransactionFits) {
  KvTxn txn;
  size_t bytes = 0;
  for (size_t i = 0; i < kKvTxnOperationsMax; ++i) {
    std::string key = absl::StrFormat("%0150d", i);
    txn.compares.push_back({key, KvCompare::Target::kModRevision, 0});
    txn.puts.push_back({key, std::string(5000, 'v'), 0});
    bytes += key.size() + 5000;
  }
  txn.puts.back().value += std::string(kKvTxnBytesMax - bytes, 'v');
  auto result = kv().Txn(txn);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->succeeded);
  EXPECT_EQ(kv().Range("")->entries.size(), kKvTxnOperationsMax);
}

TEST_P(KvStoreConformance, OfManyWhoCreateOneWins) {
  std::vector<std::thread> racers;
  std::atomic<int> winners{0};
  for (int i = 0; i < 8; ++i) {
    racers.emplace_back([this, i, &winners] {
      bool won =
          TryPut({"k", KvCompare::Target::kCreateRevision, 0}, absl::StrCat(i));
      if (won) ++winners;
    });
  }
  for (std::thread& racer : racers) racer.join();
  EXPECT_EQ(winners, 1);
}

TEST_P(KvStoreConformance, GuardedIncrementsLoseNothing) {
  Put("count", "");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this] {
      for (int done = 0; done < 10;) {
        KvEntry entry = Get("count");
        done += TryPut(
            {"count", KvCompare::Target::kModRevision, entry.mod_revision},
            entry.value + "x");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Get("count").value.size(), 40u);
}

// ---- Watches ----------------------------------------------------------------

TEST_P(KvStoreConformance, AWatchFromTheFutureSeesOnlyWhatComes) {
  int64_t revision = Put("k", "old");
  auto watch = WatchFrom("k", revision + 1);
  EXPECT_THAT(*watch->Next(absl::Milliseconds(50)), IsEmpty());
  Put("k", "new");
  EXPECT_THAT(Show(Read(*watch, 1)), ElementsAre("k=new"));
}

TEST_P(KvStoreConformance, AWatchSeesOnlyItsPrefix) {
  int64_t revision = Put("a", "0");
  auto watch = WatchFrom("a/", revision + 1);
  PutAll({"a", "a/1", "a0", "b"});
  Put("a/2", "");
  EXPECT_THAT(Show(Read(*watch, 2)), ElementsAre("a/1=", "a/2="));
}

TEST_P(KvStoreConformance, TwoWatchesSeeTheSame) {
  int64_t revision = Put("k", "0");
  auto one = WatchFrom("k", revision);
  auto two = WatchFrom("k", revision);
  Put("k", "1");
  EXPECT_THAT(Show(Read(*one, 2)), ElementsAre("k=0", "k=1"));
  EXPECT_THAT(Show(Read(*two, 2)), ElementsAre("k=0", "k=1"));
}

TEST_P(KvStoreConformance, AWatchEndsWithoutTheOthers) {
  int64_t revision = Put("k", "0");
  auto one = WatchFrom("k", revision + 1);
  auto two = WatchFrom("k", revision + 1);
  Put("k", "1");
  EXPECT_THAT(Show(Read(*one, 1)), ElementsAre("k=1"));
  one.reset();
  Put("k", "2");
  EXPECT_THAT(Show(Read(*two, 2)), ElementsAre("k=1", "k=2"));
}

TEST_P(KvStoreConformance, ATransactionsEventsHaveItsRevision) {
  int64_t revision = Put("c", "0");
  auto watch = WatchFrom("", revision + 1);
  KvTxn txn;
  txn.puts.push_back({"a", "1", 0});
  txn.puts.push_back({"b", "1", 0});
  txn.deletes.push_back("c");
  auto result = kv().Txn(txn);
  ASSERT_TRUE(result.ok());
  std::vector<KvEvent> events = Read(*watch, 3);
  ASSERT_EQ(events.size(), 3u);
  for (const KvEvent& event : events) {
    EXPECT_EQ(event.entry.mod_revision, result->revision);
  }
}

TEST_P(KvStoreConformance, APutsEventHoldsTheWholeEntry) {
  int64_t lease = Grant(absl::Seconds(60));
  int64_t created = Put("k", "1");
  int64_t changed = Put("k", "2", lease);
  auto watch = WatchFrom("k", changed);
  std::vector<KvEvent> events = Read(*watch, 1);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].entry.value, "2");
  EXPECT_EQ(events[0].entry.create_revision, created);
  EXPECT_EQ(events[0].entry.mod_revision, changed);
  EXPECT_EQ(events[0].entry.lease, lease);
}

TEST_P(KvStoreConformance, ADeletesEventHasItsRevision) {
  Put("k", "1");
  int64_t deleted = Delete("k");
  auto watch = WatchFrom("k", deleted);
  std::vector<KvEvent> events = Read(*watch, 1);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].type, KvEvent::Type::kDelete);
  EXPECT_EQ(events[0].entry.mod_revision, deleted);
}

TEST_P(KvStoreConformance, DeletingNothingIsNoEvent) {
  int64_t revision = Put("k", "1");
  auto watch = WatchFrom("", revision + 1);
  Delete("none");
  Put("k", "2");
  EXPECT_THAT(Show(Read(*watch, 1)), ElementsAre("k=2"));
}

TEST_P(KvStoreConformance, AFailedTransactionIsNoEvent) {
  int64_t revision = Put("k", "1");
  auto watch = WatchFrom("", revision + 1);
  EXPECT_FALSE(TryPut({"k", KvCompare::Target::kCreateRevision, 0}, "no"));
  Put("k", "2");
  EXPECT_THAT(Show(Read(*watch, 1)), ElementsAre("k=2"));
}

TEST_P(KvStoreConformance, AWatchMissesNothingOfALongRun) {
  int64_t revision = Put("k", "start");
  auto watch = WatchFrom("k", revision + 1);
  std::thread writer([this] {
    for (int i = 0; i < 300; ++i) Put("k", absl::StrCat(i));
  });
  std::vector<KvEvent> events = Read(*watch, 300);
  writer.join();
  ASSERT_EQ(events.size(), 300u);
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(events[i].entry.value, absl::StrCat(i));
  }
}

TEST_P(KvStoreConformance, AWatchShowsHistoryInOrder) {
  int64_t revision = Put("k", "0");
  for (int i = 1; i < 20; ++i) Put("k", absl::StrCat(i));
  auto watch = WatchFrom("k", revision);
  std::vector<KvEvent> events = Read(*watch, 20);
  ASSERT_EQ(events.size(), 20u);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(events[i].entry.value, absl::StrCat(i));
  }
}

TEST_P(KvStoreConformance, AWatchOfARevisionBelowOneIsRefused) {
  Put("k", "1");
  EXPECT_CODE(kOutOfRange, Fate("k", 0));
}

// ---- Compaction -------------------------------------------------------------

TEST_P(KvStoreConformance, AWatchOfCompactedHistorySaysSo) {
  int64_t first = Put("k", "1");
  int64_t second = Put("k", "2");
  ASSERT_TRUE(kv().Compact(second).ok());
  EXPECT_CODE(kOutOfRange, Fate("k", first));
}

TEST_P(KvStoreConformance, RangingAgainMendsACompactedWatch) {
  int64_t first = Put("k", "1");
  ASSERT_TRUE(kv().Compact(Put("k", "2")).ok());
  ASSERT_FALSE(Fate("k", first).ok());
  auto range = kv().Range("k");
  ASSERT_TRUE(range.ok());
  EXPECT_THAT(Dump("k"), ElementsAre("k=2"));
  auto watch = WatchFrom("k", range->revision + 1);
  Put("k", "3");
  EXPECT_THAT(Show(Read(*watch, 1)), ElementsAre("k=3"));
}

TEST_P(KvStoreConformance, AWatchAheadOfCompactionGoesOn) {
  int64_t revision = Put("k", "1");
  auto watch = WatchFrom("k", revision + 1);
  Put("k", "2");
  EXPECT_THAT(Show(Read(*watch, 1)), ElementsAre("k=2"));
  ASSERT_TRUE(kv().Compact(revision).ok());
  Put("k", "3");
  EXPECT_THAT(Show(Read(*watch, 1)), ElementsAre("k=3"));
}

TEST_P(KvStoreConformance, CompactionKeepsTheNewestEntries) {
  int64_t created = Put("k", "1");
  int64_t changed = Put("k", "2");
  ASSERT_TRUE(kv().Compact(changed).ok());
  KvEntry entry = Get("k");
  EXPECT_EQ(entry.value, "2");
  EXPECT_EQ(entry.create_revision, created);
  EXPECT_TRUE(Holds({"k", KvCompare::Target::kModRevision, changed}));
}

TEST_P(KvStoreConformance, CompactingTwiceIsFine) {
  int64_t first = Put("k", "1");
  int64_t second = Put("k", "2");
  EXPECT_TRUE(kv().Compact(second).ok());
  EXPECT_TRUE(kv().Compact(second).ok());
  EXPECT_TRUE(kv().Compact(first).ok());
}

TEST_P(KvStoreConformance, TheFutureCannotBeCompacted) {
  int64_t revision = Put("k", "1");
  EXPECT_CODE(kOutOfRange, kv().Compact(revision + 1'000'000));
}

// ---- Leases -----------------------------------------------------------------

TEST_P(KvStoreConformance, ALeaseHoldsManyKeys) {
  int64_t lease = Grant(absl::Seconds(60));
  int64_t revision = PutAll({"a", "b", "c"}, lease);
  auto watch = WatchFrom("", revision + 1);
  ASSERT_TRUE(kv().RevokeLease(lease).ok());
  EXPECT_THAT(Dump(), IsEmpty());
  EXPECT_THAT(Show(Read(*watch, 3)),
              testing::UnorderedElementsAre("a-", "b-", "c-"));
}

TEST_P(KvStoreConformance, LeasesDiffer) {
  int64_t one = Grant(absl::Seconds(60));
  int64_t two = Grant(absl::Seconds(60));
  EXPECT_NE(one, two);
  Put("one", "1", one);
  Put("two", "1", two);
  ASSERT_TRUE(kv().RevokeLease(one).ok());
  EXPECT_THAT(Dump(), ElementsAre("two=1"));
}

TEST_P(KvStoreConformance, AKeyMovesFromLeaseToLease) {
  int64_t one = Grant(absl::Seconds(60));
  int64_t two = Grant(absl::Seconds(60));
  Put("k", "1", one);
  Put("k", "2", two);
  ASSERT_TRUE(kv().RevokeLease(one).ok());
  EXPECT_THAT(Dump(), ElementsAre("k=2"));
  ASSERT_TRUE(kv().RevokeLease(two).ok());
  EXPECT_THAT(Dump(), IsEmpty());
}

TEST_P(KvStoreConformance, AnUnknownLeaseIsADeadOne) {
  EXPECT_EQ(*kv().KeepLeaseAlive(987654321), absl::ZeroDuration());
  EXPECT_TRUE(kv().RevokeLease(987654321).ok());
  KvTxn txn;
  txn.puts.push_back({"free", "1", 0});
  txn.puts.push_back({"leased", "1", 987654321});
  EXPECT_CODE(kNotFound, kv().Txn(txn));
  EXPECT_THAT(Dump(), IsEmpty());
}

TEST_P(KvStoreConformance, AKeyDeletedAndMadeAgainIsOffItsLease) {
  int64_t lease = Grant(absl::Seconds(60));
  Put("k", "1", lease);
  Delete("k");
  Put("k", "2");
  ASSERT_TRUE(kv().RevokeLease(lease).ok());
  EXPECT_THAT(Dump(), ElementsAre("k=2"));
}

TEST_P(KvStoreConformance, RefusesALeaseOfNoTimeOrTooMuch) {
  EXPECT_CODE(kInvalidArgument, kv().GrantLease(absl::ZeroDuration()));
  EXPECT_CODE(kInvalidArgument, kv().GrantLease(absl::Hours(24 * 365)));
}

TEST_P(KvStoreConformance, ALeaseKeepsItsKeysOverAReopen) {
  int64_t lease = Grant(absl::Seconds(60));
  Put("k", "1", lease);
  fixture_->Reopen();
  EXPECT_EQ(Get("k").lease, lease);
  EXPECT_GT(*kv().KeepLeaseAlive(lease), absl::ZeroDuration());
  ASSERT_TRUE(kv().RevokeLease(lease).ok());
  EXPECT_THAT(Dump(), IsEmpty());
}

}  // namespace paramo
