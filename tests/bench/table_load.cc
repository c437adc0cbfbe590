#include "tests/bench/table_load.h"

#include <algorithm>
#include <cmath>
#include <deque>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/mutex.h"
#include "common/base/random.h"
#include "common/base/status.h"

namespace paramo::bench {
namespace {

// Gradients of so many requests are made up front, as are keys: the bench is of
// the system. Together they are larger than the caches.
constexpr size_t kBatches = 64;
constexpr size_t kBatchBytes = 64 << 20;
constexpr size_t kFillRows = 4096;
constexpr size_t kFillAhead = 4;
// Calls that tell how large the messages are.
constexpr size_t kProbeCalls = 4;
constexpr double kZipfExponent = 1.0;

absl::Status ToAbsl(const Status& status) {
  if (status.ok()) return absl::OkStatus();
  return absl::UnknownError(status.ToString());
}
absl::Status ToAbsl(const Result<PushAck>& ack) { return ToAbsl(ack.status()); }

// Key k with a probability in proportion to 1 / (k + 1).
class ZipfKeys {
 public:
  explicit ZipfKeys(uint64_t keys) {
    double sum = 0;
    for (uint64_t k = 0; k < keys; ++k) {
      sum += std::pow(static_cast<double>(k + 1), -kZipfExponent);
      cumulative_.push_back(sum);
    }
  }
  uint64_t Draw(BitGen& gen) const {
    const double at = gen.Uniform() * cumulative_.back();
    return static_cast<uint64_t>(
        std::upper_bound(cumulative_.begin(), cumulative_.end() - 1, at) -
        cumulative_.begin());
  }

 private:
  std::vector<double> cumulative_;
};

std::vector<std::vector<uint64_t>> DrawKeys(const RowsSpec& spec) {
  BitGen gen(/*seed=*/7);
  std::unique_ptr<ZipfKeys> zipf;
  if (spec.keys == Keys::kZipf) {
    zipf = std::make_unique<ZipfKeys>(spec.table_rows);
  }
  std::vector<std::vector<uint64_t>> keys(spec.batches);
  for (std::vector<uint64_t>& batch : keys) {
    for (int i = 0; i < spec.rows; ++i) {
      batch.push_back(zipf != nullptr ? zipf->Draw(gen)
                                      : gen.Below(spec.table_rows));
    }
  }
  return keys;
}

std::vector<float> Gradients(size_t floats) {
  BitGen gen(/*seed=*/8);
  std::vector<float> gradients(floats);
  for (float& g : gradients) g = static_cast<float>(gen.Uniform() - 0.5);
  return gradients;
}

}  // namespace

class Asked {
 public:
  Asked(size_t floats, Work work, int in_flight)
      : work_(work),
        gradients_(BatchesOf(floats), Gradients(floats)),
        pulled_(static_cast<size_t>(in_flight), std::vector<float>(floats)) {}
  virtual ~Asked() = default;
  // `slot`: below in_flight, and no other call has it now.
  virtual Future<Result<PushAck>> Push(size_t i, size_t slot) = 0;
  virtual Future<Status> Pull(size_t i, size_t slot) = 0;

  static size_t BatchesOf(size_t floats) {
    return std::clamp<size_t>(kBatchBytes / (floats * sizeof(float)), 1,
                              kBatches);
  }
  const Work& work() const { return work_; }

 protected:
  const std::vector<float>& gradients(size_t i) const {
    return gradients_[i % gradients_.size()];
  }
  std::vector<float>& pulled(size_t slot) { return pulled_[slot]; }

 private:
  const Work work_;
  const std::vector<std::vector<float>> gradients_;
  std::vector<std::vector<float>> pulled_;
};

namespace {

class AskedRows final : public Asked {
 public:
  AskedRows(Table table, const RowsSpec& spec, int in_flight)
      : Asked(static_cast<size_t>(spec.rows) * spec.dim,
              {.bytes = 4.0 * spec.rows * spec.dim,
               .rows = static_cast<double>(spec.rows)},
              in_flight),
        table_(std::move(table)),
        keys_(DrawKeys(spec)),
        codec_(spec.codec),
        table_rows_(spec.table_rows),
        shifted_(spec.repeat_keys ? 0 : static_cast<size_t>(in_flight)) {}

  Future<Result<PushAck>> Push(size_t i, size_t slot) override {
    return table_.PushAsync(KeysOf(i, slot), gradients(i), {.codec = codec_});
  }
  Future<Status> Pull(size_t i, size_t slot) override {
    return table_.PullAsync(KeysOf(i, slot), pulled(slot), {.codec = codec_});
  }

 private:
  // Those of batch `i`; if they are not to come again, moved on by as many rows
  // as there were calls.
  const std::vector<uint64_t>& KeysOf(size_t i, size_t slot) {
    const std::vector<uint64_t>& batch = keys_[i % keys_.size()];
    if (shifted_.empty()) return batch;
    std::vector<uint64_t>& shifted = shifted_[slot];
    shifted.resize(batch.size());
    shift_ = (shift_ + 1) % table_rows_;
    for (size_t k = 0; k < batch.size(); ++k) {
      const uint64_t key = batch[k] + shift_;
      shifted[k] = key < table_rows_ ? key : key - table_rows_;
    }
    return shifted;
  }

  const Table table_;
  const std::vector<std::vector<uint64_t>> keys_;
  const std::string codec_;
  const uint64_t table_rows_;
  uint64_t shift_ = 0;
  std::vector<std::vector<uint64_t>> shifted_;  // by slot
};

class AskedTensor final : public Asked {
 public:
  AskedTensor(Tensor tensor, size_t bytes, int in_flight)
      : Asked(bytes / sizeof(float), {.bytes = static_cast<double>(bytes)},
              in_flight),
        tensor_(std::move(tensor)) {}
  Future<Result<PushAck>> Push(size_t i, size_t) override {
    return tensor_.PushAsync(gradients(i));
  }
  Future<Status> Pull(size_t, size_t slot) override {
    return tensor_.PullAsync(pulled(slot));
  }

 private:
  const Tensor tensor_;
};

// A row's record: header, value, and as much again for adagrad's slot. Only
// rules with that many are asked for.
uint64_t RowBytes(const RowsSpec& spec) { return 32 + 8 * uint64_t{spec.dim}; }

// Creates every row, as a table that has been trained has them.
absl::Status Fill(const Table& table, uint64_t rows) {
  const std::vector<float> ones(kFillRows * table.dim(), 1.0f);
  std::deque<std::pair<std::unique_ptr<std::vector<uint64_t>>,
                       Future<Result<PushAck>>>>
      pending;
  for (uint64_t at = 0; at < rows || !pending.empty(); at += kFillRows) {
    if (at < rows) {
      auto keys = std::make_unique<std::vector<uint64_t>>();
      for (uint64_t k = at; k < std::min(rows, at + kFillRows); ++k) {
        keys->push_back(k);
      }
      auto future = table.PushAsync(
          *keys, std::span(ones).first(keys->size() * table.dim()));
      pending.emplace_back(std::move(keys), std::move(future));
    }
    if (at < rows && pending.size() < kFillAhead) continue;
    PARAMO_RETURN_IF_ERROR(ToAbsl(pending.front().second.get()));
    pending.pop_front();
  }
  return absl::OkStatus();
}

// Calls of the client as requests. Answers come on its thread.
class ClientRequester final : public Requester {
 public:
  ClientRequester(Asked& asked, Call call, int in_flight)
      : asked_(asked), call_(call) {
    for (int i = 0; i < in_flight; ++i) free_.push_back(i);
  }
  // What is still under way holds `this`.
  ~ClientRequester() override {
    MutexLock lock(mu_);
    while (outstanding_ > 0) changed_.Wait(mu_);
  }

  absl::Status Send(size_t i) override {
    size_t slot;
    {
      MutexLock lock(mu_);
      slot = free_.back();
      free_.pop_back();
      ++outstanding_;
    }
    if (call_ == Call::kPush) {
      asked_.Push(i, slot).then([=, this](const Result<PushAck>& ack) {
        Answered(i, slot, ToAbsl(ack));
      });
    } else {
      asked_.Pull(i, slot).then([=, this](const Status& status) {
        Answered(i, slot, ToAbsl(status));
      });
    }
    return absl::OkStatus();
  }

  absl::Status Wait(absl::Time deadline,
                    std::vector<size_t>& answered) override {
    MutexLock lock(mu_);
    while (answered_.empty() && failure_.ok()) {
      const absl::Duration left = deadline - absl::Now();
      if (left <= absl::ZeroDuration()) break;
      changed_.WaitFor(mu_, std::min(left, absl::Hours(1)));
    }
    answered.insert(answered.end(), answered_.begin(), answered_.end());
    answered_.clear();
    return failure_;
  }

 private:
  void Answered(size_t i, size_t slot, absl::Status status) {
    MutexLock lock(mu_);
    --outstanding_;
    free_.push_back(slot);
    answered_.push_back(i);
    if (failure_.ok()) failure_ = std::move(status);
    changed_.NotifyAll();
  }

  Asked& asked_;
  const Call call_;
  Mutex mu_;
  CondVar changed_;
  size_t outstanding_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<size_t> free_ ABSL_GUARDED_BY(mu_);
  std::vector<size_t> answered_ ABSL_GUARDED_BY(mu_);
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
};

std::string Suffix(Durability durability) {
  switch (durability) {
    case Durability::kLogged:
      return "logged";
    case Durability::kReplicated:
      return "replicated";
    case Durability::kSynced:
      return "synced";
  }
  return "";
}

std::string NameOf(const RowsSpec& spec) {
  return absl::StrCat("rows-", spec.rule, "-", spec.dim, "-",
                      Suffix(spec.durability), "-", spec.table_rows,
                      spec.budget_part > 0 ? "-budget" : "");
}

}  // namespace

void DeclareRows(Config& config, int rows_max, RowsSpec& spec) {
  config.Int("rows", spec.rows, {1, rows_max}, "keys of a request");
  config.Int("dim", spec.dim, {1, 65536}, "floats of a row");
  config.Text("rule", spec.rule, "update rule of the pushes");
}

absl::StatusOr<std::shared_ptr<Asked>> MakeRows(BenchCluster& cluster,
                                                const RowsSpec& spec,
                                                int in_flight) {
  TableSpec table_spec;
  table_spec.name = NameOf(spec);
  table_spec.dim = spec.dim;
  table_spec.rule.name = spec.rule;
  table_spec.durability = spec.durability;
  if (spec.budget_part > 0) {
    table_spec.memory_budget = static_cast<uint64_t>(
        spec.budget_part *
        static_cast<double>(spec.table_rows * RowBytes(spec)));
  }
  if (!cluster.client().OpenTable(table_spec.name).ok()) {
    auto table = cluster.client().CreateTable(table_spec);
    PARAMO_RETURN_IF_ERROR(ToAbsl(table.status()));
    PARAMO_RETURN_IF_ERROR(Fill(*table, spec.table_rows));
  }
  return OpenRows(cluster.client(), spec, in_flight);
}

absl::StatusOr<std::shared_ptr<Asked>> OpenRows(Cluster& client,
                                                const RowsSpec& spec,
                                                int in_flight) {
  auto table = client.OpenTable(NameOf(spec));
  PARAMO_RETURN_IF_ERROR(ToAbsl(table.status()));
  return std::make_shared<AskedRows>(*table, spec, in_flight);
}

absl::StatusOr<std::shared_ptr<Asked>> MakeTensor(BenchCluster& cluster,
                                                  size_t bytes, int in_flight) {
  TableSpec spec;
  spec.name = absl::StrCat("dense-", bytes);
  spec.shape = {bytes / sizeof(float)};
  spec.rule.name = "sgd";
  spec.durability = Durability::kReplicated;
  auto tensor = cluster.client().CreateTensor(spec);
  PARAMO_RETURN_IF_ERROR(ToAbsl(tensor.status()));
  auto asked = std::make_shared<AskedTensor>(*tensor, bytes, in_flight);
  PARAMO_RETURN_IF_ERROR(ToAbsl(asked->Push(0, 0).get()));
  return asked;
}

absl::StatusOr<Sample> DriveCalls(Asked& asked, Call call, const Load& load,
                                  const std::function<double()>& cpu_seconds) {
  ClientRequester requester(asked, call, load.in_flight);
  return Drive(requester, load, asked.work(), cpu_seconds);
}

absl::StatusOr<Case> MakeCase(const std::string& name, BenchCluster& cluster,
                              std::shared_ptr<Asked> asked, Call call,
                              const Load& load) {
  const ClusterStats before = cluster.client().stats();
  for (size_t i = 0; i < kProbeCalls; ++i) {
    PARAMO_RETURN_IF_ERROR(call == Call::kPush
                               ? ToAbsl(asked->Push(i, 0).get())
                               : ToAbsl(asked->Pull(i, 0).get()));
  }
  const ClusterStats after = cluster.client().stats();
  const uint64_t messages = after.requests - before.requests;
  Case c;
  c.message.request = (after.bytes_sent - before.bytes_sent) / messages;
  c.message.answer = (after.bytes_received - before.bytes_received) / messages;
  c.messages = static_cast<double>(messages) / kProbeCalls;
  c.work = {asked->work().bytes / c.messages, asked->work().rows / c.messages};
  c.in_flight =
      std::max(1, static_cast<int>(std::lround(load.in_flight * c.messages)));
  c.subject.name = name;
  c.subject.leaves_work = call == Call::kPush;
  c.subject.run = [=, cpu = CpuOfAll(cluster.pids())](
                      absl::Duration time) -> absl::StatusOr<Sample> {
    Load timed = load;
    timed.time = time;
    return DriveCalls(*asked, call, timed, cpu);
  };
  return c;
}

absl::StatusOr<Subject> FloorOf(const Case& c, Lab& lab, Via via, double rate) {
  Load load;
  load.in_flight = c.in_flight;
  load.rate = rate * c.messages;
  return lab.Echo(via, c.message, load, c.work);
}

}  // namespace paramo::bench
