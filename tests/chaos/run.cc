#include "tests/chaos/run.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "tests/chaos/clients.h"
#include "tests/chaos/cluster.h"
#include "tests/chaos/inspect.h"
#include "tests/chaos/judge.h"
#include "tests/chaos/ledger.h"

namespace paramo::chaos {
namespace {

constexpr absl::Duration kPollEvery = absl::Milliseconds(10);
// Everybody is answered so often within so long before a fault comes.
constexpr absl::Duration kSettled = absl::Milliseconds(250);
constexpr uint64_t kSettledAcks = 3;
// Clients that are not answered so long after a fault have failed.
constexpr absl::Duration kRecoverWithin = absl::Seconds(60);
// So has a cluster that is not whole. A server that flaps gets no replicas for
// up to 30 s behind its last flap, and on a starved machine it flaps by itself.
constexpr absl::Duration kWholeWithin = absl::Minutes(3);
constexpr absl::Duration kClientsStopWithin = absl::Seconds(60);
// Faults that do not land are tried again, so many times in all.
constexpr uint64_t kTriesPerFault = 4;
constexpr uint64_t kPauseRangeMs = 200;
// Moments of a lasting fault at which it is asked what is in flight.
constexpr int kLooks = 32;

int64_t Before(int64_t now_ns, absl::Duration duration) {
  return now_ns - absl::ToInt64Nanoseconds(duration);
}

class Run {
 public:
  Run(const RunOptions& options, cli::Workplace& workplace,
      Isolation& isolation, cli::Interrupt& interrupt, Report& report)
      : options_(options),
        workplace_(workplace),
        isolation_(isolation),
        interrupt_(interrupt),
        report_(report),
        rule_(options.rule),
        random_(options.seed) {}

  absl::Status Start(Summary& summary);
  absl::Status Faults(Summary& summary);
  absl::Status Judge(Summary& summary);

 private:
  std::vector<FaultKind> Usable(Summary& summary) const;
  absl::StatusOr<FaultRecord> OneFault(FaultKind kind);
  absl::Status WaitFor(absl::Duration duration);
  absl::Status WaitForAnswers(int64_t from_ns, const Concerns& target);
  Concerns On(const Fault& fault) const;
  uint64_t InFlight(const Fault& fault, int64_t begin_ns, int64_t injected_ns,
                    int64_t healed_ns) const;
  void Tell(const FaultRecord& fault);

  const RunOptions& options_;
  cli::Workplace& workplace_;
  Isolation& isolation_;
  cli::Interrupt& interrupt_;
  Report& report_;
  const ScalarRule rule_;
  BitGen random_;
  std::vector<FaultKind> kinds_;
  Layout layout_;
  std::vector<int> server_of_shard_;
  std::unique_ptr<ChaosCluster> cluster_;
  std::unique_ptr<Clients> clients_;  // stopped before the cluster
};

std::vector<FaultKind> Run::Usable(Summary& summary) const {
  std::vector<FaultKind> usable;
  for (FaultKind kind : options_.kinds) {
    const absl::Status can =
        CanHave(kind, isolation_, options_.store == "etcd");
    if (can.ok()) {
      usable.push_back(kind);
    } else {
      summary.skipped[Name(kind)] = std::string(can.message());
    }
  }
  return usable;
}

absl::Status Run::Start(Summary& summary) {
  kinds_ = Usable(summary);
  ClusterOptions cluster;
  cluster.servers = options_.servers;
  cluster.replicas = options_.replicas;
  cluster.shards = options_.shards;
  cluster.seed = random_.Next();
  cluster.keep_log = rule_.has_state();
  cluster.etcd = options_.store == "etcd";
  cluster.disk_bytes =
      DiskBytesFor(kinds_, cluster.keep_log ? options_.faults : 0);
  PARAMO_ASSIGN_OR_RETURN(
      cluster_,
      ChaosCluster::Start(cluster, workplace_, isolation_, interrupt_));
  PARAMO_ASSIGN_OR_RETURN(
      layout_, MakeTables(cluster_->address(), options_.durability, rule_));
  clients_ = std::make_unique<Clients>(workplace_, cluster_->address(),
                                       rule_.name(), random_.Next());
  for (int i = 0; i < options_.clients; ++i) {
    PARAMO_RETURN_IF_ERROR(clients_->Start());
  }
  return absl::OkStatus();
}

absl::Status Run::WaitFor(absl::Duration duration) {
  if (!interrupt_.Wait(duration)) return absl::OkStatus();
  return absl::CancelledError("interrupted");
}

// Until every client has been answered pushes that it made at `from_ns` or
// later, the target of a fault among those who answered.
absl::Status Run::WaitForAnswers(int64_t from_ns, const Concerns& target) {
  const absl::Time deadline = absl::Now() + kRecoverWithin;
  while (true) {
    PARAMO_RETURN_IF_ERROR(clients_->Poll());
    const int64_t now_ns = MonotonicNanos();
    if (clients_->LeastAcked(from_ns, now_ns) >= kSettledAcks &&
        clients_->Acked(from_ns, now_ns, target) > 0) {
      return absl::OkStatus();
    }
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat("no progress of every client within ",
                       absl::FormatDuration(kRecoverWithin)));
    }
    PARAMO_RETURN_IF_ERROR(WaitFor(kPollEvery));
  }
}

// The pushes that meet a fault: those with a row on the server, or those of the
// client that dies. Without the coordinator, none may be hurt. A server that
// was deposed before may be nobody's primary: its fault concerns every push, of
// whose shards it may be a backup.
Concerns Run::On(const Fault& fault) const {
  if (fault.victim() != 0) {
    return [victim = fault.victim()](uint32_t client, uint64_t) {
      return client == victim;
    };
  }
  if (fault.server() < 0 ||
      !absl::c_linear_search(server_of_shard_, fault.server())) {
    return [](uint32_t, uint64_t) { return true; };
  }
  return [this, server = fault.server()](uint32_t client, uint64_t number) {
    for (ShardId shard : layout_.ShardsOfPush(client, number)) {
      if (server_of_shard_[shard] == server) return true;
    }
    return false;
  };
}

absl::StatusOr<FaultRecord> Run::OneFault(FaultKind kind) {
  const Concerns anybody = [](uint32_t, uint64_t) { return true; };
  PARAMO_RETURN_IF_ERROR(cluster_->WaitUntilWhole(kWholeWithin));
  const int64_t whole_ns = MonotonicNanos();
  PARAMO_RETURN_IF_ERROR(WaitForAnswers(whole_ns, anybody));
  PARAMO_RETURN_IF_ERROR(WaitFor(
      absl::Milliseconds(static_cast<int64_t>(random_.Below(kPauseRangeMs)))));
  server_of_shard_ = cluster_->Shape().server_of_shard;
  Scene scene{*cluster_, *clients_, isolation_};
  Fault fault(kind, scene, random_);

  const int64_t begin_ns = MonotonicNanos();
  PARAMO_RETURN_IF_ERROR(Annotate(fault.Inject(scene), Name(kind)));
  const int64_t injected_ns = MonotonicNanos();
  const absl::Status waited = WaitFor(fault.length());
  const int64_t healed_ns = MonotonicNanos();
  PARAMO_RETURN_IF_ERROR(Annotate(fault.Heal(scene), Name(kind)));
  PARAMO_RETURN_IF_ERROR(waited);
  PARAMO_RETURN_IF_ERROR(cluster_->WaitUntilWhole(kWholeWithin));
  const Concerns on_target = On(fault);
  const Concerns& hurt = fault.victim() != 0 ? anybody : on_target;
  PARAMO_RETURN_IF_ERROR(
      Annotate(WaitForAnswers(MonotonicNanos(), hurt), Name(kind)));
  const int64_t end_ns = MonotonicNanos();

  FaultRecord record;
  record.kind = Name(kind);
  record.target = fault.target();
  record.in_flight = InFlight(fault, begin_ns, injected_ns, healed_ns);
  record.length = fault.length();
  record.outage = clients_->LongestGap(begin_ns, end_ns, hurt);
  record.recovered = absl::Nanoseconds(end_ns - healed_ns);
  if (fault.harmless()) record.hurt = clients_->Hurt(whole_ns, end_ns);
  if (clients_->LeastAcked(Before(begin_ns, kSettled), begin_ns) == 0 &&
      fault.victim() == 0) {
    record.not_landed = "a client was not being answered before";
  } else if (record.in_flight == 0) {
    record.not_landed = "nothing was in flight on its target";
  } else {
    record.not_landed = fault.WhyNoEffect(scene);
  }
  return record;
}

// Requests that met it: when it came, or, if it lasts, while it lasted. A
// killed client leaves its own open for ever.
uint64_t Run::InFlight(const Fault& fault, int64_t begin_ns,
                       int64_t injected_ns, int64_t healed_ns) const {
  const Concerns on_target = On(fault);
  if (fault.victim() != 0) return clients_->InFlight(injected_ns, on_target);
  if (fault.sudden()) return clients_->InFlight(begin_ns, on_target);
  uint64_t most = 0;
  for (int i = 0; i <= kLooks; ++i) {
    const int64_t at_ns = injected_ns + (healed_ns - injected_ns) * i / kLooks;
    most = std::max(most, clients_->InFlight(at_ns, on_target));
  }
  return most;
}

void Run::Tell(const FaultRecord& fault) {
  report_.Json(ToJson(fault));
  report_.Text(absl::StrFormat(
      "%-16s %-12s %4d in flight, held %.2f s, outage %.0f ms%s%s", fault.kind,
      fault.target, fault.in_flight, absl::ToDoubleSeconds(fault.length),
      absl::ToDoubleMilliseconds(fault.outage),
      fault.not_landed.empty() ? "" : "; does not count: ", fault.not_landed));
}

// Every kind in turn, in an order drawn anew each round.
absl::Status Run::Faults(Summary& summary) {
  uint64_t landed = 0;
  std::vector<FaultKind> round;
  for (uint64_t tries = 0; landed < options_.faults && !kinds_.empty();
       ++tries) {
    if (tries >= kTriesPerFault * options_.faults) {
      return absl::UnavailableError("too many faults did not land");
    }
    if (round.empty()) {
      round = kinds_;
      for (size_t i = round.size(); i > 1; --i) {
        std::swap(round[i - 1], round[random_.Below(i)]);
      }
    }
    const FaultKind kind = round.back();
    round.pop_back();
    PARAMO_ASSIGN_OR_RETURN(const FaultRecord fault, OneFault(kind));
    summary.Add(fault);
    landed += fault.not_landed.empty() ? 1 : 0;
    Tell(fault);
    if (fault.hurt > 0) {
      return absl::UnavailableError(absl::StrCat(
          fault.kind, " of ", fault.target, " hurt ", fault.hurt, " pushes"));
    }
  }
  return absl::OkStatus();
}

absl::Status Run::Judge(Summary& summary) {
  absl::Status status = clients_->StopAll(kClientsStopWithin);
  if (absl::Status polled = clients_->Poll(); status.ok()) status = polled;
  absl::Status whole = cluster_->WaitUntilWhole(kWholeWithin);
  if (absl::IsCancelled(whole)) return whole;  // half of it would look lost
  if (status.ok()) status = whole;
  // What cannot be read is not there.
  auto evidence = Gather(*cluster_, layout_, rule_);
  if (status.ok()) status = evidence.status();
  summary.verdict = JudgeAll(evidence.ok() ? *evidence : Evidence(), layout_,
                             clients_->histories(), report_);
  summary.divergent_replicas = cluster_->CountDivergent();
  return status;
}

}  // namespace

Summary RunChaos(const RunOptions& options, cli::Workplace& workplace,
                 Isolation& isolation, cli::Interrupt& interrupt,
                 Report& report) {
  const absl::Time start = absl::Now();
  Summary summary;
  summary.seed = options.seed;
  summary.faults_requested = options.faults;
  Run run(options, workplace, isolation, interrupt, report);
  absl::Status status = run.Start(summary);
  if (status.ok()) {
    status = run.Faults(summary);
    // Also of a run that broke off: what it did is judged.
    if (absl::Status judged = run.Judge(summary); status.ok()) status = judged;
  }
  if (!status.ok()) summary.error = ToString(status);
  summary.duration = absl::Now() - start;
  return summary;
}

}  // namespace paramo::chaos
