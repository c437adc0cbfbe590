#include "tests/chaos/client_load.h"

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/daemon.h"
#include "common/base/log.h"
#include "common/base/mutex.h"
#include "common/base/parent_watch.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "tests/chaos/ledger.h"
#include "tests/chaos/oracle.h"

namespace paramo::chaos {
namespace {

constexpr int kInFlight = 8;
// 500 pushes of four rows a second: enough to be in flight whenever a fault
// comes, and three clients more do not fill a small machine.
constexpr absl::Duration kPace = absl::Milliseconds(2);
constexpr absl::Duration kPauseBetweenConnects = absl::Milliseconds(50);
constexpr absl::Duration kStopGrace = absl::Seconds(60);
// One push in so many gives up early; the others outlast every fault.
constexpr uint64_t kImpatientOneIn = 8;
constexpr std::chrono::milliseconds kPatience(20'000);
constexpr std::chrono::milliseconds kConnectWithin(5'000);

struct Tables {
  Table own;
  Table counter;
  Table pairs;
};

Outcome OutcomeOf(const Result<PushAck>& result) {
  if (result.ok()) return Outcome::kAcked;
  const Applied applied = result.status().applied().value_or(Applied::kUnknown);
  if (applied == Applied::kYes) return Outcome::kAcked;
  return applied == Applied::kNo ? Outcome::kFailed : Outcome::kUnknown;
}

// Errors after which no push of the session can succeed.
bool EndsSession(const Status& status) {
  return status.code() == Code::kFailedPrecondition ||
         status.code() == Code::kDataLoss;
}

class Load {
 public:
  Load(const LoadOptions& options, LedgerWriter& ledger)
      : options_(options),
        ledger_(ledger),
        rule_(options.rule),
        random_(options.seed) {}

  absl::Status Run();
  void Stop() { stopping_ = true; }

 private:
  // The memory of one push while it is under way.
  struct Push {
    uint64_t number = 0;
    std::array<uint64_t, 1> own, counter;
    std::array<uint64_t, 2> pair;
    std::array<float, 2> gradient;
  };

  bool Connect();
  enum class Room { kYes, kNo, kSessionOver };
  Room LookForRoom();
  void SendOne();
  void OnAnswer(const Push& push, const Result<PushAck>& result);
  void Drain();

  const LoadOptions& options_;
  LedgerWriter& ledger_;
  const ScalarRule rule_;
  BitGen random_;
  std::unique_ptr<Cluster> cluster_;
  std::optional<Tables> tables_;
  uint64_t next_ = 0;
  std::atomic<bool> stopping_{false};  // relaxed would do: a flag on its own

  Mutex mu_;
  CondVar answered_;
  int in_flight_ ABSL_GUARDED_BY(mu_) = 0;
  bool session_over_ ABSL_GUARDED_BY(mu_) = false;
};

bool Load::Connect() {
  ConnectOptions options;
  options.addresses = options_.addresses;
  options.timeout = kConnectWithin;
  options.log = [](const std::string& line) { LogInfo("%s", line); };
  auto cluster = Cluster::Connect(options);
  if (!cluster.ok()) {
    LogWarning("cannot connect: %s", cluster.status().ToString());
    return false;
  }
  auto own = (*cluster)->OpenTable(kOwnTable);
  auto counter = (*cluster)->OpenTable(kCounterTable);
  auto pairs = (*cluster)->OpenTable(kPairTable);
  if (!own.ok() || !counter.ok() || !pairs.ok()) return false;
  cluster_ = *std::move(cluster);
  tables_.emplace(Tables{*own, *counter, *pairs});
  MutexLock lock(mu_);
  session_over_ = false;
  return true;
}

Load::Room Load::LookForRoom() {
  MutexLock lock(mu_);
  if (session_over_) return Room::kSessionOver;
  return in_flight_ < kInFlight ? Room::kYes : Room::kNo;
}

void Load::SendOne() {
  auto push = std::make_shared<Push>();
  push->number = next_++;
  push->own = {OwnKey(options_.client, push->number)};
  push->counter = {CounterKey(options_.client)};
  const auto [a, b] =
      PairKeys(tables_->pairs.info().id, cluster_->shard_count(),
               options_.client, static_cast<uint32_t>(push->number % kPairs));
  push->pair = {a, b};
  push->gradient.fill(rule_.Gradient(push->number));
  const std::span<const float> one(push->gradient.data(), 1);
  const std::array<PushPart, 3> parts = {
      PushPart(tables_->own, push->own, one),
      PushPart(tables_->counter, push->counter, one),
      PushPart(tables_->pairs, push->pair, push->gradient)};
  PushOptions options;
  options.deadline =
      random_.Below(kImpatientOneIn) == 0 ? kImpatience : kPatience;
  {
    MutexLock lock(mu_);
    ++in_flight_;
  }
  ledger_.Begin(push->number);
  cluster_->PushAsync(parts, options).then([this, push](auto result) {
    OnAnswer(*push, result);
  });
}

void Load::OnAnswer(const Push& push, const Result<PushAck>& result) {
  ledger_.End(push.number, OutcomeOf(result));
  if (!result.ok()) LogInfo("%s", result.status().ToString());
  MutexLock lock(mu_);
  --in_flight_;
  if (!result.ok() && EndsSession(result.status())) session_over_ = true;
  answered_.NotifyAll();
}

void Load::Drain() {
  MutexLock lock(mu_);
  while (in_flight_ > 0) answered_.Wait(mu_);
}

absl::Status Load::Run() {
  while (!stopping_) {
    if (!Connect()) {
      absl::SleepFor(kPauseBetweenConnects);
      continue;
    }
    while (!stopping_) {
      absl::SleepFor(kPace);
      const Room room = LookForRoom();
      if (room == Room::kSessionOver) break;
      if (room == Room::kYes) SendOne();
    }
    Drain();
    tables_.reset();
    cluster_.reset();
  }
  return absl::OkStatus();
}

}  // namespace

TableSpec ChaosTable(const std::string& name, const std::string& durability,
                     const ScalarRule& rule) {
  TableSpec spec;
  spec.name = name;
  spec.dim = 1;
  spec.rule.name = rule.name();
  spec.rule.params = rule.params();
  if (durability == "replicated") spec.durability = Durability::kReplicated;
  if (durability == "synced") spec.durability = Durability::kSynced;
  return spec;
}

absl::Status RunLoad(const LoadOptions& options) {
  StopSignal stop;
  ParentWatch parent(options.parent_fd, kStopGrace,
                     [&stop] { stop.Request(); });
  PARAMO_ASSIGN_OR_RETURN(auto ledger, LedgerWriter::Create(options.ledger));
  Load load(options, *ledger);
  std::thread watching([&] {
    [[maybe_unused]] absl::Status why = stop.Wait();
    load.Stop();
  });
  absl::Status status = load.Run();
  stop.Request();
  watching.join();
  return status;
}

}  // namespace paramo::chaos
