// One coordinator's thread over a real store that misbehaves when told. Leases
// and deadlines run on a clock that stands still unless a test moves it.
#include "server/coordinator/leader_loop.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "server/coordinator/embedded_kv.h"
#include "tests/unit/server/coordinator/test_util.h"

namespace paramo {
namespace {

constexpr absl::Duration kTtl = absl::Seconds(2);
constexpr absl::Duration kMargin = absl::Milliseconds(300);

// Counts what happens, by name, and lets a test wait for it.
class Happenings {
 public:
  void Note(const std::string& what) {
    std::lock_guard<std::mutex> lock(mu_);
    ++counts_[what];
    changed_.notify_all();
  }
  int count(const std::string& what) {
    std::lock_guard<std::mutex> lock(mu_);
    return counts_[what];
  }
  void Await(const std::string& what, int count) {
    EXPECT_TRUE(Within(std::chrono::seconds(20), what, count))
        << "no " << what << " number " << count;
  }
  bool Within(std::chrono::milliseconds time, const std::string& what,
              int count) {
    std::unique_lock<std::mutex> lock(mu_);
    return changed_.wait_for(lock, time,
                             [&] { return counts_[what] >= count; });
  }

 private:
  std::mutex mu_;
  std::condition_variable changed_;
  std::map<std::string, int> counts_;
};

class SteeredWatch final : public KvWatch {
 public:
  SteeredWatch(std::unique_ptr<KvWatch> watch, std::atomic<bool>& broken)
      : watch_(std::move(watch)), broken_(broken) {}
  absl::StatusOr<std::vector<KvEvent>> Next(absl::Duration timeout) override {
    if (!broken_) return watch_->Next(timeout);
    absl::SleepFor(absl::Milliseconds(1));  // as it would wait for an answer
    return absl::UnavailableError("no answer");
  }

 private:
  const std::unique_ptr<KvWatch> watch_;
  std::atomic<bool>& broken_;
};

class SteeredKv final : public KvStore {
 public:
  SteeredKv(const std::string& path, const Clock& clock, Happenings& happenings)
      : happenings_(happenings) {
    EmbeddedKvOptions options;
    options.path = path;
    options.clock = &clock;
    kv_ = *OpenEmbeddedKv(options);
  }

  std::atomic<bool> unreachable{false};
  std::atomic<bool> renewals_lost{false};
  std::atomic<bool> watches_broken{false};

  absl::StatusOr<KvRange> Range(absl::string_view prefix) override {
    if (unreachable) return absl::UnavailableError("no answer");
    return kv_->Range(prefix);
  }
  absl::StatusOr<KvTxnResult> Txn(const KvTxn& txn) override {
    if (unreachable) return absl::UnavailableError("no answer");
    return kv_->Txn(txn);
  }
  absl::StatusOr<std::unique_ptr<KvWatch>> Watch(absl::string_view prefix,
                                                 int64_t from) override {
    auto watch = kv_->Watch(prefix, from);
    if (!watch.ok()) return watch.status();
    return std::unique_ptr<KvWatch>(
        std::make_unique<SteeredWatch>(*std::move(watch), watches_broken));
  }
  absl::StatusOr<int64_t> GrantLease(absl::Duration ttl) override {
    return kv_->GrantLease(ttl);
  }
  absl::StatusOr<absl::Duration> KeepLeaseAlive(int64_t lease) override {
    auto left = renewals_lost || unreachable
                    ? absl::UnavailableError("no answer")
                    : kv_->KeepLeaseAlive(lease);
    happenings_.Note("renewal");
    return left;
  }
  absl::Status RevokeLease(int64_t lease) override {
    if (unreachable) return absl::UnavailableError("no answer");
    absl::Status revoked = kv_->RevokeLease(lease);
    happenings_.Note("revocation");
    return revoked;
  }
  absl::Status Compact(int64_t revision) override {
    absl::Status compacted = kv_->Compact(revision);
    happenings_.Note("compaction");
    return compacted;
  }

 private:
  Happenings& happenings_;
  std::unique_ptr<KvStore> kv_;
};

class LeaderLoopTest : public testing::Test {
 protected:
  LeaderLoopTest() {
    options_.election = {.address = "a:1", .ttl = kTtl, .margin = kMargin};
    options_.history = absl::ZeroDuration();
  }
  void Start() {
    LeaderHooks hooks;
    hooks.begin = [this](const StoreFence& fence) {
      begin_revision_ = fence.create_revision;
      happened_.Note("begin");
      return cannot_begin_ ? absl::DataLossError("an entry is missing")
                           : absl::OkStatus();
    };
    hooks.end = [this] { happened_.Note("end"); };
    hooks.follow = [this](const std::string& leader) {
      happened_.Note("follow " + leader);
    };
    loop_ = std::make_unique<LeaderLoop>(kv_, clock_, options_, hooks);
    loop_->Start();
  }
  void StartLeading() {
    Start();
    happened_.Await("renewal", 1);  // the first thing that a leader does
  }
  // A renewal is asked for, so that the loop has seen the new time.
  void Pass(absl::Duration time) {
    const int renewals = happened_.count("renewal");
    clock_.Advance(time);
    happened_.Await("renewal", renewals + 1);
  }
  // Moves the clock on until it happens: from when on the loop counts its own
  // waits cannot be seen from here.
  void PassUntil(const std::string& what, int count) {
    for (int i = 0; i < 200; ++i) {
      clock_.Advance(kTtl / 8);
      if (happened_.Within(std::chrono::milliseconds(100), what, count)) return;
    }
    ADD_FAILURE() << "no " << what << " number " << count;
  }
  void Put(const std::string& key, const std::string& value) {
    KvTxn txn;
    txn.puts.push_back({key, value, 0});
    ASSERT_TRUE(kv_.Txn(txn).ok());
  }
  void DeleteKey() {
    KvTxn txn;
    txn.deletes.push_back(kLeaderKey);
    ASSERT_TRUE(kv_.Txn(txn).ok());
  }
  // All history up to now is gone.
  void Compact() {
    Put("other", "1");
    ASSERT_TRUE(kv_.Compact(kv_.Range("")->revision).ok());
  }
  Election::Leader Leader() { return *other_.Look(); }

  FakeClock clock_;
  TempDir dir_;
  Happenings happened_;
  SteeredKv kv_{dir_.path() + "/store", clock_, happened_};
  Election other_{
      kv_, clock_, {.address = "b:1", .ttl = kTtl, .margin = kMargin}};
  LeaderLoopOptions options_;
  std::atomic<int64_t> begin_revision_{0};
  std::atomic<bool> cannot_begin_{false};
  std::unique_ptr<LeaderLoop> loop_;  // first to go
};

// ---- Leading ----------------------------------------------------------------

TEST_F(LeaderLoopTest, LeadsWithTheFenceOfItsKey) {
  StartLeading();
  EXPECT_EQ(happened_.count("begin"), 1);
  EXPECT_EQ(Leader().address, "a:1");
  EXPECT_EQ(Leader().create_revision, begin_revision_);
  EXPECT_NE(Leader().lease, 0);
}

TEST_F(LeaderLoopTest, RenewsForAsLongAsItLeads) {
  StartLeading();
  for (int i = 0; i < 8; ++i) Pass(kTtl / 4);
  EXPECT_EQ(happened_.count("begin"), 1);
  EXPECT_EQ(happened_.count("end"), 0);
  EXPECT_EQ(Leader().create_revision, begin_revision_);
}

TEST_F(LeaderLoopTest, ALeaseThatIsNotRenewedInTimeEndsTheTerm) {
  StartLeading();
  kv_.renewals_lost = true;
  Pass(kTtl - kMargin - absl::Milliseconds(1));
  EXPECT_EQ(happened_.count("end"), 0);
  EXPECT_TRUE(Leader().there);  // the lease itself lasts 301 ms more
  const int64_t first = begin_revision_;
  clock_.Advance(absl::Milliseconds(1));
  happened_.Await("end", 1);
  happened_.Await("begin", 2);  // a term of its own
  EXPECT_GT(begin_revision_, first);
}

// The process stood still for longer than the store waits.
TEST_F(LeaderLoopTest, ALeaseThatTheStoreHasEndedEndsTheTerm) {
  StartLeading();
  const int64_t first = begin_revision_;
  kv_.watches_broken = true;  // so that the renewal tells, and nothing else
  clock_.Advance(10 * kTtl);
  happened_.Await("end", 1);
  happened_.Await("begin", 2);
  EXPECT_GT(begin_revision_, first);
  EXPECT_EQ(Leader().create_revision, begin_revision_);
}

TEST_F(LeaderLoopTest, AKeyThatIsDeletedEndsTheTerm) {
  StartLeading();
  const int64_t first = begin_revision_;
  DeleteKey();
  happened_.Await("end", 1);
  happened_.Await("begin", 2);
  EXPECT_GT(begin_revision_, first);
}

TEST_F(LeaderLoopTest, AKeyThatIsWrittenOverEndsTheTermAndGoes) {
  StartLeading();
  const int64_t first = begin_revision_;
  Put(kLeaderKey, "somebody");
  happened_.Await("end", 1);
  happened_.Await("begin", 2);
  EXPECT_GT(begin_revision_, first);
  EXPECT_EQ(Leader().address, "a:1");
}

TEST_F(LeaderLoopTest, ATermThatFailedEnds) {
  StartLeading();
  loop_->FailTerm();
  happened_.Await("end", 1);
  happened_.Await("begin", 2);
}

// ---- Compaction -------------------------------------------------------------

TEST_F(LeaderLoopTest, CompactionWhileTheWatchIsBrokenChangesNothing) {
  StartLeading();
  kv_.watches_broken = true;
  Compact();
  kv_.watches_broken = false;
  Pass(kTtl / 4);
  Pass(kTtl / 4);
  EXPECT_EQ(happened_.count("end"), 0);
  DeleteKey();  // the new watch sees it
  happened_.Await("end", 1);
}

TEST_F(LeaderLoopTest, AKeyThatWasDeletedInCompactedHistoryEndsTheTerm) {
  StartLeading();
  kv_.watches_broken = true;
  DeleteKey();
  Compact();
  kv_.watches_broken = false;
  happened_.Await("end", 1);
}

TEST_F(LeaderLoopTest, AKeyThatWasWrittenOverInCompactedHistoryEndsTheTerm) {
  StartLeading();
  kv_.watches_broken = true;
  Put(kLeaderKey, "somebody");
  Compact();
  kv_.watches_broken = false;
  happened_.Await("end", 1);
}

TEST_F(LeaderLoopTest, CompactsWhatIsOlderThanItsHistory) {
  options_.history = kTtl / 4;
  StartLeading();
  for (int i = 0; i < 10 && happened_.count("compaction") < 2; ++i) {
    Put("k", "v");
    Pass(kTtl / 4);
  }
  happened_.Await("compaction", 2);
  EXPECT_CODE(kOutOfRange, kv_.Watch("k", 1));
  EXPECT_EQ(happened_.count("end"), 0);
}

// ---- A term that cannot begin -----------------------------------------------

TEST_F(LeaderLoopTest, ATermThatCannotBeginIsLeftToOthersForAWhile) {
  cannot_begin_ = true;
  Start();
  happened_.Await("begin", 1);
  happened_.Await("revocation", 1);
  EXPECT_TRUE(*other_.Campaign());
  EXPECT_EQ(happened_.count("end"), 0);  // of what did not begin
  cannot_begin_ = false;
  for (int i = 0; i < 100 && happened_.count("follow b:1") == 0; ++i) {
    clock_.Advance(kTtl / 8);
    ASSERT_TRUE(other_.Renew().ok());
    happened_.Within(std::chrono::milliseconds(100), "follow b:1", 1);
  }
  EXPECT_EQ(happened_.count("begin"), 1);
  EXPECT_TRUE(other_.Resign().ok());
  happened_.Await("begin", 2);
  happened_.Await("renewal", 1);
}

// ---- Following --------------------------------------------------------------

TEST_F(LeaderLoopTest, FollowsWhoLeadsAndTakesOverWhenItIsGone) {
  ASSERT_TRUE(*other_.Campaign());
  Start();
  happened_.Await("follow b:1", 1);
  EXPECT_EQ(happened_.count("begin"), 0);
  EXPECT_TRUE(other_.Resign().ok());
  happened_.Await("begin", 1);
}

TEST_F(LeaderLoopTest, TakesOverWhenTheLeadersLeaseIsOver) {
  ASSERT_TRUE(*other_.Campaign());
  Start();
  happened_.Await("follow b:1", 1);
  clock_.Advance(kTtl);
  happened_.Await("begin", 1);
  EXPECT_FALSE(other_.Leads());
}

TEST_F(LeaderLoopTest, WaitsForAKeyThatNobodyKnowsAndThatHasNoLease) {
  Put(kLeaderKey, "by hand");
  Start();
  happened_.Await("follow ", 1);
  PassUntil("follow ", 3);
  EXPECT_EQ(happened_.count("begin"), 0);
  DeleteKey();
  happened_.Await("begin", 1);
}

TEST_F(LeaderLoopTest, AStoreThatDoesNotAnswerIsAskedAgain) {
  kv_.unreachable = true;
  Start();
  PassUntil("follow ", 2);
  EXPECT_EQ(happened_.count("begin"), 0);
  kv_.unreachable = false;
  PassUntil("begin", 1);
}

// ---- Stopping ---------------------------------------------------------------

TEST_F(LeaderLoopTest, StoppingWhileLeadingEndsTheTermAndResigns) {
  StartLeading();
  loop_->Stop();
  EXPECT_EQ(happened_.count("end"), 1);
  EXPECT_FALSE(Leader().there);
  EXPECT_TRUE(*other_.Campaign());  // at once, without time passing
  loop_->Stop();                    // again is fine
}

TEST_F(LeaderLoopTest, StoppingWhileFollowingTouchesNothing) {
  ASSERT_TRUE(*other_.Campaign());
  const int64_t revision = Leader().revision;
  Start();
  happened_.Await("follow b:1", 1);
  loop_->Stop();
  EXPECT_EQ(happened_.count("begin"), 0);
  EXPECT_EQ(happened_.count("end"), 0);
  EXPECT_EQ(Leader().revision, revision);
  EXPECT_TRUE(other_.Leads());
}

TEST_F(LeaderLoopTest, StoppingWhileTheStoreDoesNotAnswerIsSoon) {
  StartLeading();
  kv_.unreachable = true;
  loop_->Stop();
  EXPECT_EQ(happened_.count("end"), 1);
  kv_.unreachable = false;
  EXPECT_FALSE(*other_.Campaign());  // the lease was not revoked
  clock_.Advance(kTtl);
  EXPECT_TRUE(*other_.Campaign());
}

}  // namespace
}  // namespace paramo
