#include "worker/step/data_feed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <thread>
#include <vector>

namespace paramo {
namespace {

using State = DataFeed::State;

constexpr absl::Duration kLong = absl::Seconds(20);

class Numbers final : public Dataset {
 public:
  size_t examples() const override { return 40; }
  size_t features() const override { return 1; }
  size_t classes() const override { return 2; }
  absl::Status Read(absl::Span<const uint32_t> indices,
                    absl::Span<float> features,
                    absl::Span<int32_t> labels) const override {
    for (size_t i = 0; i < indices.size(); ++i) {
      features[i] = static_cast<float>(indices[i]);
      labels[i] = 0;
    }
    return failing ? absl::DataLossError("disk") : absl::OkStatus();
  }
  bool failing = false;
};

// 10 batches of 4 examples in data shards of 3, 3, 3 and 1.
BatchPlan Plan() {
  BatchPlan plan;
  plan.seed = 1;
  plan.examples = 40;
  plan.batch_examples = 4;
  plan.batches_per_data_shard = 3;
  plan.epochs = 1;
  return plan;
}

// A coordinator with one reader: hands out what a test has put there.
class Leases {
 public:
  DataFeed::LeaseCall Call() {
    return [this](const std::vector<DataLease>& held, uint32_t want) {
      return Answer(held, want);
    };
  }
  void Offer(uint64_t data_shard, uint32_t batches_done = 0) {
    MutexLock lock(mu_);
    offered_.push_back({data_shard, batches_done, false});
  }
  void Exhaust() {
    MutexLock lock(mu_);
    exhausted_ = true;
  }
  void FailWith(absl::Status status) {
    MutexLock lock(mu_);
    failure_ = std::move(status);
  }
  // Waits until `data_shard` is reported up to `batches`.
  bool Reported(uint64_t data_shard, uint32_t batches) {
    MutexLock lock(mu_);
    for (int tries = 0; tries < 100 && done_[data_shard] < batches; ++tries) {
      called_.WaitFor(mu_, kLong / 100);
    }
    return done_[data_shard] == batches;
  }
  uint32_t first_want() {
    MutexLock lock(mu_);
    return first_want_;
  }
  std::vector<uint64_t> finished() {
    MutexLock lock(mu_);
    return finished_;
  }

 private:
  absl::StatusOr<LeaseAnswer> Answer(const std::vector<DataLease>& held,
                                     uint32_t want) {
    MutexLock lock(mu_);
    called_.NotifyAll();
    if (!failure_.ok()) return failure_;
    if (first_want_ == 0) first_want_ = want;
    size_t open = 0;
    for (const DataLease& lease : held) {
      done_[lease.data_shard] = lease.batches_done;
      if (lease.finished) finished_.push_back(lease.data_shard);
      open += !lease.finished;
    }
    LeaseAnswer answer;
    while (!offered_.empty() && open + answer.leases.size() < want) {
      answer.leases.push_back(offered_.front());
      offered_.erase(offered_.begin());
    }
    answer.exhausted = exhausted_ && offered_.empty();
    return answer;
  }

  Mutex mu_;
  CondVar called_;
  std::vector<DataLease> offered_;
  bool exhausted_ = false;
  absl::Status failure_;
  uint32_t first_want_ = 0;
  std::map<uint64_t, uint32_t> done_;
  std::vector<uint64_t> finished_;
};

// Reads and acknowledges until something else than a batch comes.
State Drain(DataFeed& feed, std::vector<BatchId>& read) {
  for (;;) {
    DataFeed::Item item;
    auto state = feed.Next(kLong, item);
    EXPECT_TRUE(state.ok()) << state.status();
    if (!state.ok() || *state != State::kBatch)
      return state.ok() ? *state : State::kNotYet;
    read.push_back(item.id);
    feed.Acknowledged(item.id);
  }
}

TEST(DataFeed, BringsEveryBatchInOrderThenEnds) {
  Numbers numbers;
  Leases leases;
  for (uint64_t shard : {0, 1, 2, 3}) leases.Offer(shard);
  leases.Exhaust();
  DataFeed feed(numbers, Plan(), leases.Call());
  std::vector<BatchId> read;
  EXPECT_EQ(Drain(feed, read), State::kEnd);
  ASSERT_EQ(read.size(), 10u);
  for (size_t i = 0; i < read.size(); ++i) {
    EXPECT_EQ(read[i].data_shard, i / 3);
    EXPECT_EQ(read[i].batch, i % 3);
  }
  EXPECT_THAT(leases.finished(), testing::ElementsAre(0, 1, 2, 3));
}

TEST(DataFeed, BatchesAreThoseOfThePlan) {
  Numbers numbers;
  Leases leases;
  leases.Offer(2);
  DataFeed feed(numbers, Plan(), leases.Call());
  DataFeed::Item item;
  ASSERT_EQ(*feed.Next(kLong, item), State::kBatch);
  Batch expected;
  BatchReader reader(numbers, Plan());
  ASSERT_TRUE(reader.Read({2, 0}, expected).ok());
  EXPECT_EQ(item.batch.features, expected.features);
}

TEST(DataFeed, HoldsTwoLeasesAheadOfTheOneBeingRead) {
  Numbers numbers;
  Leases leases;
  for (uint64_t shard : {0, 1, 2, 3}) leases.Offer(shard);
  DataFeed feed(numbers, Plan(), leases.Call());
  DataFeed::Item item;
  ASSERT_EQ(*feed.Next(kLong, item), State::kBatch);
  EXPECT_EQ(leases.first_want(), 3u);
}

TEST(DataFeed, ResumesWhereTheDeadWorkerStood) {
  Numbers numbers;
  Leases leases;
  leases.Offer(1, /*batches_done=*/2);
  leases.Exhaust();
  DataFeed feed(numbers, Plan(), leases.Call());
  std::vector<BatchId> read;
  EXPECT_EQ(Drain(feed, read), State::kEnd);
  ASSERT_EQ(read.size(), 1u);
  EXPECT_EQ(read[0].batch, 2u);
}

TEST(DataFeed, WaitsForTheAnswerOfTheLastPush) {
  Numbers numbers;
  Leases leases;
  leases.Offer(3);  // one batch
  leases.Exhaust();
  DataFeed feed(numbers, Plan(), leases.Call());
  DataFeed::Item item;
  ASSERT_EQ(*feed.Next(kLong, item), State::kBatch);
  const BatchId id = item.id;
  EXPECT_EQ(*feed.Next(kLong, item), State::kUnacked);
  EXPECT_THAT(leases.finished(), testing::IsEmpty());
  feed.Acknowledged(id);
  EXPECT_EQ(*feed.Next(kLong, item), State::kEnd);
  EXPECT_THAT(leases.finished(), testing::ElementsAre(3));
}

TEST(DataFeed, ReportsPositionsOnTheWay) {
  Numbers numbers;
  Leases leases;
  leases.Offer(0);
  DataFeed feed(numbers, Plan(), leases.Call());
  DataFeed::Item item;
  for (int batches = 1; batches <= 2; ++batches) {
    ASSERT_EQ(*feed.Next(kLong, item), State::kBatch);
    feed.Acknowledged(item.id);
    EXPECT_TRUE(leases.Reported(0, batches));
  }
}

TEST(DataFeed, IsIdleWhileOthersHoldTheRestAndGoesOnWhenItComesBack) {
  Numbers numbers;
  Leases leases;
  leases.Offer(0);
  DataFeed feed(numbers, Plan(), leases.Call());
  std::vector<BatchId> read;
  EXPECT_EQ(Drain(feed, read), State::kIdle);
  EXPECT_EQ(read.size(), 3u);
  DataFeed::Item item;
  EXPECT_EQ(*feed.Next(absl::ZeroDuration(), item), State::kIdle);
  leases.Offer(1, 1);  // its reader died
  leases.Exhaust();
  State state = State::kIdle;
  while (state == State::kIdle) {
    state = Drain(feed, read);
    std::this_thread::yield();
  }
  EXPECT_EQ(state, State::kEnd);
  EXPECT_EQ(read.size(), 5u);
}

TEST(DataFeed, IsNotIdleBeforeTheCoordinatorKnowsAllThatIsDone) {
  Numbers numbers;
  Leases leases;
  leases.Offer(3);
  DataFeed feed(numbers, Plan(), leases.Call());
  std::vector<BatchId> read;
  EXPECT_EQ(Drain(feed, read), State::kIdle);
  EXPECT_THAT(leases.finished(), testing::ElementsAre(3));
}

TEST(DataFeed, NotYetWhenPatienceIsOver) {
  Numbers numbers;
  Leases leases;
  leases.FailWith(absl::UnavailableError("no coordinator"));
  DataFeed feed(numbers, Plan(), leases.Call());
  DataFeed::Item item;
  EXPECT_EQ(*feed.Next(absl::Milliseconds(1), item), State::kNotYet);
}

TEST(DataFeed, ReadsWhatIsLeasedWhileTheCoordinatorIsAway) {
  Numbers numbers;
  Leases leases;
  leases.Offer(0);
  leases.Offer(1);
  DataFeed feed(numbers, Plan(), leases.Call());
  DataFeed::Item item;
  ASSERT_EQ(*feed.Next(kLong, item), State::kBatch);
  leases.FailWith(absl::UnavailableError("no coordinator"));
  for (int i = 1; i < 6; ++i) {
    ASSERT_EQ(*feed.Next(kLong, item), State::kBatch) << i;
  }
  // It comes back, and hears of all that was done meanwhile.
  EXPECT_EQ(*feed.Next(kLong, item), State::kUnacked);
  for (uint64_t shard : {0, 1}) {
    for (uint32_t batch : {0u, 1u, 2u}) feed.Acknowledged({shard, batch});
  }
  leases.Exhaust();
  leases.FailWith(absl::OkStatus());
  EXPECT_EQ(*feed.Next(kLong, item), State::kEnd);
  EXPECT_THAT(leases.finished(), testing::ElementsAre(0, 1));
}

TEST(DataFeed, EndsWithAFinalErrorOfTheCoordinator) {
  Numbers numbers;
  Leases leases;
  leases.FailWith(absl::NotFoundError("no longer a member"));
  DataFeed feed(numbers, Plan(), leases.Call());
  DataFeed::Item item;
  EXPECT_EQ(feed.Next(kLong, item).status().code(),
            absl::StatusCode::kNotFound);
}

TEST(DataFeed, EndsWithAnErrorOfTheData) {
  Numbers numbers;
  numbers.failing = true;
  Leases leases;
  leases.Offer(0);
  DataFeed feed(numbers, Plan(), leases.Call());
  DataFeed::Item item;
  EXPECT_EQ(feed.Next(kLong, item).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST(DataFeed, RefusesLeasesThatTheJobDoesNotHave) {
  for (DataLease bad : {DataLease{4, 0, false}, DataLease{3, 2, false}}) {
    Numbers numbers;
    Leases leases;
    leases.Offer(bad.data_shard, bad.batches_done);
    DataFeed feed(numbers, Plan(), leases.Call());
    DataFeed::Item item;
    EXPECT_EQ(feed.Next(kLong, item).status().code(),
              absl::StatusCode::kInternal);
  }
}

TEST(DataFeed, StopsWithBatchesUnread) {
  Numbers numbers;
  Leases leases;
  leases.Offer(0);
  DataFeed feed(numbers, Plan(), leases.Call());
  DataFeed::Item item;
  EXPECT_EQ(*feed.Next(kLong, item), State::kBatch);
}  // the destructor returns

}  // namespace
}  // namespace paramo
