// A cluster, a model and data that a test of the training loop plays. What the
// loop does is written down in order.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/mutex.h"
#include "worker/step/membership.h"
#include "worker/step/step_work.h"
#include "worker/step/trainer.h"

namespace paramo {

// Of the loop's thread; read when it is over.
using Events = std::vector<std::string>;

// Four batches of two examples in two data shards, per epoch.
class EightExamples final : public Dataset {
 public:
  size_t examples() const override { return 8; }
  size_t features() const override { return 1; }
  size_t classes() const override { return 2; }
  absl::Status Read(absl::Span<const uint32_t>, absl::Span<float>,
                    absl::Span<int32_t>) const override {
    return failing ? absl::DataLossError("disk") : absl::OkStatus();
  }
  bool failing = false;
};

class FakeWork final : public StepWork {
 public:
  explicit FakeWork(Events& events) : events_(events) {}

  absl::Status Open(Cluster&) override { return absl::OkStatus(); }
  bool pulls_ahead() const override { return dense; }
  void Prepare(const Batch&, int side) override {
    events_.push_back(absl::StrCat("prepare on ", side));
  }
  const std::vector<PullPart>& PullParts(int) override { return pulls_; }
  double Gradients(const Batch&, uint64_t clock, int side) override {
    events_.push_back(absl::StrCat("compute ", clock, " on ", side));
    return loss ? loss(clock) : 0.5;
  }
  const std::vector<PushPart>& PushParts(int) override { return pushes_; }
  const std::vector<PullPart>& ProbeParts() override {
    events_.push_back("probe:");
    return pulls_;
  }
  absl::StatusOr<double> Evaluate() override {
    events_.push_back("evaluate");
    return metric;
  }
  absl::Status Save(const std::string& file) override {
    events_.push_back(absl::StrCat("save ", file));
    return absl::OkStatus();
  }

  bool dense = true;
  std::function<double(uint64_t clock)> loss;
  absl::StatusOr<double> metric = 0.9;

 private:
  Events& events_;
  const std::vector<PullPart> pulls_;
  const std::vector<PushPart> pushes_;
};

// Rank 0 of 1. Answers at once and well, but for what a test sets.
class FakeJob final : public Membership {
 public:
  explicit FakeJob(Events& events) : events_(events) {}

  // No answer: the pull is parked for ever.
  std::function<std::optional<Status>(uint64_t clock)> pull_answer;
  // No answer: AnswerPush() gives one.
  std::function<std::optional<Result<PushAck>>(const StepOptions&)> push_answer;
  std::function<Status(int call)> barrier_answer;
  std::function<Status(int call)> lease_answer;
  uint64_t first = 0;
  uint64_t data_shards = 2;
  std::atomic<bool> withhold{false};  // others hold all data
  std::atomic<bool> is_member{true};
  std::atomic<JobPhase> phase_now{JobPhase::kRunning};

  void AnswerPush() {
    if (push_.has_value()) push_->Set(PushAck{.accumulated = 1});
    push_.reset();
  }
  // As the coordinator knows them: batches of each data shard.
  std::map<uint64_t, uint32_t> positions() {
    MutexLock lock(mu_);
    return positions_;
  }
  const WorkerProgress& reported() const { return reported_; }

  uint32_t rank() const override { return 0; }
  uint64_t first_clock() const override { return first; }
  bool member() const override { return is_member; }
  // A loop that hangs asks this every 50 ms: after some 20 s it is stopped,
  // and the test fails instead of running for ever.
  JobPhase phase() const override {
    return ++asked_since_event_ > 400 ? JobPhase::kStopped : phase_now.load();
  }

  Future<Status> Pull(std::span<const PullPart>, uint64_t clock) override {
    Note(absl::StrCat("pull ", clock));
    Promise<Status> promise;
    std::optional<Status> answer = Status();
    if (pull_answer) answer = pull_answer(clock);
    if (answer.has_value()) promise.Set(*answer);
    return promise.future();
  }
  Future<Result<PushAck>> Push(std::span<const PushPart>,
                               const StepOptions& step) override {
    Note(absl::StrCat("push ", step.clock, " of ", step.examples));
    Promise<Result<PushAck>> promise;
    std::optional<Result<PushAck>> answer = PushAck{.accumulated = 1};
    if (push_answer) answer = push_answer(step);
    if (answer.has_value()) {
      promise.Set(*answer);
    } else {
      push_ = promise;
    }
    return promise.future();
  }

  Result<DataLeases> LeaseData(std::span<const DataPosition> held,
                               uint32_t want) override {
    MutexLock lock(mu_);
    if (lease_answer) {
      const Status status = lease_answer(lease_calls_++);
      if (!status.ok()) return status;
    }
    size_t open = 0;
    for (const DataPosition& position : held) {
      positions_[position.data_shard] = position.batches_done;
      open += position.finished ? 0 : 1;
    }
    DataLeases answer;
    answer.retry_after = std::chrono::milliseconds(10);
    if (withhold) return answer;
    for (; open < want && next_ < data_shards; ++open) {
      answer.leases.push_back({next_++, 0, false});
    }
    answer.exhausted = next_ == data_shards;
    return answer;
  }
  Status Barrier(const std::string& name, std::chrono::milliseconds) override {
    Note(absl::StrCat("barrier ", name));
    return barrier_answer ? barrier_answer(barrier_calls_++) : Status();
  }
  Result<JobReport> Describe() override {
    JobReport report;
    report.phase = phase_now;
    report.metric_epoch = reported_.metric_epoch;
    report.workers.resize(1);
    report.workers[0].live = true;
    return report;
  }
  void Report(const WorkerProgress& progress) override { reported_ = progress; }
  ClusterStats stats() const override { return {}; }

 private:
  void Note(std::string event) {
    asked_since_event_ = 0;
    events_.push_back(std::move(event));
  }

  Events& events_;
  std::optional<Promise<Result<PushAck>>> push_;
  WorkerProgress reported_;
  int barrier_calls_ = 0;
  mutable std::atomic<int> asked_since_event_{0};

  Mutex mu_;
  int lease_calls_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t next_ ABSL_GUARDED_BY(mu_) = 0;  // data shard to hand out
  std::map<uint64_t, uint32_t> positions_ ABSL_GUARDED_BY(mu_);
};

// One worker with a job of four steps, and what it ended with.
class TrainerTest : public ::testing::Test {
 protected:
  TrainerTest() {
    work_.job.job = "t";
    work_.job.epochs = 1;
    work_.job.workers = 1;
    work_.job.global_batch = 2;
    work_.job.batches_per_data_shard = 2;
    work_.metric_name = "accuracy";
    auto data = std::make_unique<EightExamples>();
    data_ = data.get();
    work_.train = std::move(data);
  }

  absl::StatusOr<Trainer::Ending> Run(const std::string& weights_file = "") {
    TrainerOptions options;
    options.work = &work_;
    options.step = &step_;
    options.job = &job_;
    options.stop = &stop_;
    options.weights_file = weights_file;
    Trainer trainer(options);
    return trainer.Run();
  }
  void ExpectEnding(Trainer::Ending expected) {
    const auto ending = Run();
    ASSERT_TRUE(ending.ok()) << ending.status();
    EXPECT_EQ(*ending, expected);
  }
  void ExpectError(absl::StatusCode code, const char* says) {
    const auto ending = Run();
    EXPECT_EQ(ending.status().code(), code) << ending.status();
    EXPECT_THAT(std::string(ending.status().message()),
                ::testing::HasSubstr(says));
  }
  size_t Count(const std::string& start) const {
    return static_cast<size_t>(std::count_if(
        events_.begin(), events_.end(),
        [&](const std::string& event) { return event.rfind(start, 0) == 0; }));
  }

  Events events_;
  Workload work_;
  EightExamples* data_;
  FakeWork step_{events_};
  FakeJob job_{events_};
  std::atomic<bool> stop_{false};
};

}  // namespace paramo
