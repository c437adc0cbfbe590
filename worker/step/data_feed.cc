#include "worker/step/data_feed.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/status.h"

namespace paramo {
namespace {

// Batches read ahead of the training loop: one that it takes next, one behind
// it that hides the reading.
constexpr size_t kBatchesAhead = 2;

// How often positions are reported while nothing else is to be said. After a
// worker's death at most this much is read again.
constexpr absl::Duration kReportEvery = absl::Milliseconds(250);

constexpr absl::Duration kRetryMin = absl::Milliseconds(10);
constexpr absl::Duration kRetryMax = absl::Milliseconds(500);

bool MayPass(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

}  // namespace

DataFeed::DataFeed(const Dataset& dataset, const BatchPlan& plan,
                   LeaseCall lease)
    : plan_(plan),
      lease_(std::move(lease)),
      reader_(dataset, plan),
      lease_thread_([this] { LeaseLoop(); }),
      read_thread_([this] { ReadLoop(); }) {}

DataFeed::~DataFeed() {
  {
    MutexLock lock(mu_);
    stop_ = true;
    changed_.NotifyAll();
  }
  lease_thread_.join();
  read_thread_.join();
}

absl::StatusOr<DataFeed::State> DataFeed::Next(absl::Duration patience,
                                               Item& item) {
  const absl::Duration deadline = clock_.Now() + patience;
  MutexLock lock(mu_);
  for (;;) {
    if (!ready_.empty()) {
      spare_.push_back(std::move(item.batch));
      item = std::move(ready_.front());
      ready_.pop_front();
      changed_.NotifyAll();
      return State::kBatch;
    }
    if (!error_.ok()) return error_;
    if (held_.empty()) {
      if (exhausted_) return State::kEnd;
      if (idle_) return State::kIdle;
    } else if (UnreadCount() == 0 &&
               std::any_of(held_.begin(), held_.end(), [](const Held& held) {
                 return held.acknowledged < held.batches;
               })) {
      return State::kUnacked;
    }
    const absl::Duration left = deadline - clock_.Now();
    if (left <= absl::ZeroDuration()) return State::kNotYet;
    changed_.WaitFor(mu_, left);
  }
}

void DataFeed::Acknowledged(BatchId id) {
  MutexLock lock(mu_);
  for (Held& held : held_) {
    if (held.data_shard != id.data_shard) continue;
    PARAMO_CHECK(id.batch == held.acknowledged && id.batch < held.read);
    ++held.acknowledged;
    unreported_ = true;
    if (held.acknowledged == held.batches) changed_.NotifyAll();
    return;
  }
  PARAMO_CHECK(false);  // acknowledged a batch of a lease that is not held
}

DataFeed::Held* DataFeed::FirstUnread() {
  for (Held& held : held_) {
    if (held.read < held.batches) return &held;
  }
  return nullptr;
}

size_t DataFeed::UnreadCount() const {
  return static_cast<size_t>(
      std::count_if(held_.begin(), held_.end(),
                    [](const Held& held) { return held.read < held.batches; }));
}

// Leases being read or waiting, and those whose pushes are still on the way.
uint32_t DataFeed::Want() const {
  const auto open = static_cast<size_t>(std::count_if(
      held_.begin(), held_.end(),
      [](const Held& held) { return held.acknowledged < held.batches; }));
  if (exhausted_) return static_cast<uint32_t>(open);
  const size_t ahead = kDataShardLeasesAhead + 1;  // the one being read
  return static_cast<uint32_t>(open + ahead - std::min(ahead, UnreadCount()));
}

// Whether to talk to the coordinator now, rather than at the next regular
// report.
bool DataFeed::LeaseDue() const {
  if (!exhausted_ && UnreadCount() <= kDataShardLeasesAhead && !idle_) {
    return true;
  }
  return std::any_of(held_.begin(), held_.end(), [](const Held& held) {
    return held.acknowledged == held.batches;
  });
}

void DataFeed::LeaseLoop() {
  absl::Duration backoff = kRetryMin;
  MutexLock lock(mu_);
  while (!stop_ && error_.ok()) {
    std::vector<DataLease> report;
    for (const Held& held : held_) {
      report.push_back({held.data_shard, held.acknowledged,
                        held.acknowledged == held.batches});
    }
    const uint32_t want = Want();
    unreported_ = false;

    mu_.Unlock();
    absl::StatusOr<LeaseAnswer> answer = lease_(report, want);
    mu_.Lock();

    absl::Duration pause = absl::ZeroDuration();
    if (answer.ok()) {
      backoff = kRetryMin;
      absl::Status taken = TakeAnswer(report, *answer);
      if (!taken.ok()) return Fail(std::move(taken));
      if (exhausted_ && held_.empty()) return;  // all is read and reported
      if (answer->leases.empty() && !exhausted_) {
        pause = std::clamp(answer->retry_after, kRetryMin, kRetryMax);
      }
    } else if (MayPass(answer.status())) {
      LogWarning("leasing data: %s; training goes on with what is leased",
                 ToString(answer.status()));
      unreported_ = true;
      pause = backoff = std::min(backoff * 2, kRetryMax);
    } else {
      return Fail(answer.status());
    }
    WaitUntilDue(pause);
  }
}

// At least `pause`; then until there is something to ask for or to report.
void DataFeed::WaitUntilDue(absl::Duration pause) {
  const absl::Duration start = clock_.Now();
  while (!stop_) {
    const absl::Duration passed = clock_.Now() - start;
    if (passed < pause) {
      changed_.WaitFor(mu_, pause - passed);
    } else if (LeaseDue() || idle_ || (unreported_ && passed >= kReportEvery)) {
      return;
    } else {
      changed_.WaitFor(mu_, kReportEvery);
    }
  }
}

// Drops what is reported as finished, adds what is new.
absl::Status DataFeed::TakeAnswer(const std::vector<DataLease>& reported,
                                  const LeaseAnswer& answer) {
  for (const DataLease& lease : reported) {
    if (!lease.finished) continue;
    held_.erase(std::find_if(held_.begin(), held_.end(), [&](const Held& held) {
      return held.data_shard == lease.data_shard;
    }));
  }
  for (const DataLease& lease : answer.leases) {
    const bool known = std::any_of(
        held_.begin(), held_.end(),
        [&](const Held& held) { return held.data_shard == lease.data_shard; });
    if (known) continue;
    if (lease.data_shard >= plan_.data_shards() ||
        lease.batches_done > plan_.BatchesIn(lease.data_shard)) {
      return absl::InternalError(
          absl::StrCat("was leased data shard ", lease.data_shard,
                       " from batch ", lease.batches_done,
                       ", which the job does not have; do all workers "
                       "have the same job file?"));
    }
    held_.push_back({lease.data_shard, plan_.BatchesIn(lease.data_shard),
                     lease.batches_done, lease.batches_done});
  }
  exhausted_ = answer.exhausted;
  idle_ = held_.empty() && !exhausted_;
  changed_.NotifyAll();
  return absl::OkStatus();
}

void DataFeed::ReadLoop() {
  MutexLock lock(mu_);
  for (;;) {
    Held* next = nullptr;
    while (
        !stop_ && error_.ok() &&
        (ready_.size() >= kBatchesAhead || (next = FirstUnread()) == nullptr)) {
      changed_.Wait(mu_);
    }
    if (stop_ || !error_.ok()) return;
    Item item;
    item.id = {next->data_shard, next->read};
    if (!spare_.empty()) {
      item.batch = std::move(spare_.back());
      spare_.pop_back();
    }

    mu_.Unlock();
    absl::Status status = reader_.Read(item.id, item.batch);
    mu_.Lock();

    if (!status.ok()) return Fail(std::move(status));
    // Held until it is read and acknowledged, so it is still there; but the
    // deque may have moved it.
    for (Held& held : held_) {
      if (held.data_shard == item.id.data_shard) ++held.read;
    }
    ready_.push_back(std::move(item));
    changed_.NotifyAll();
  }
}

void DataFeed::Fail(absl::Status status) {
  if (error_.ok()) error_ = std::move(status);
  changed_.NotifyAll();
}

}  // namespace paramo
