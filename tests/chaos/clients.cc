#include "tests/chaos/clients.h"

#include <signal.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/local_cluster.h"
#include "common/base/status.h"
#include "tests/chaos/client_load.h"

namespace paramo::chaos {
namespace {

// Ledgers are in order of begin, and no push takes longer than this: where to
// stop looking back.
constexpr int64_t kPushNanosMax = 60'000'000'000;
// A push that needs what is missing waits for longer: a coordinator is missing
// for two seconds at least (faults.cc). One of a starved machine, hardly.
constexpr int64_t kStallNanos = 1'800'000'000;
constexpr int64_t kDeadlineMinNanos =
    std::chrono::nanoseconds(kImpatience).count();
// A client has a push under way about half of the time.
constexpr int kKillTries = 1000;

// The first attempt that began at `from_ns` or later.
size_t FirstFrom(const History& history, int64_t from_ns) {
  return static_cast<size_t>(
      std::lower_bound(history.begin(), history.end(), from_ns,
                       [](const Attempt& attempt, int64_t ns) {
                         return attempt.begin_ns < ns;
                       }) -
      history.begin());
}

bool Any(uint32_t, uint64_t) { return true; }

// Flags take signed numbers.
uint64_t SeedOf(uint64_t seed, uint32_t client) { return (seed >> 2) + client; }

uint64_t CountAcked(uint32_t client, const History& history, int64_t from_ns,
                    int64_t to_ns, const Concerns& concerns) {
  uint64_t count = 0;
  for (size_t n = FirstFrom(history, from_ns); n < history.size(); ++n) {
    const Attempt& attempt = history[n];
    if (attempt.begin_ns > to_ns) break;
    count += attempt.outcome == Outcome::kAcked && attempt.end_ns <= to_ns &&
             concerns(client, n);
  }
  return count;
}

}  // namespace

uint64_t CountHurt(const History& history, int64_t from_ns, int64_t to_ns) {
  uint64_t count = 0;
  for (size_t n = FirstFrom(history, from_ns); n < history.size(); ++n) {
    const Attempt& attempt = history[n];
    const bool open = attempt.outcome == Outcome::kOpen;
    const int64_t end_ns = open ? to_ns : attempt.end_ns;
    const int64_t took_ns = end_ns - attempt.begin_ns;
    // At its deadline any push may fail, of which a starved machine sent
    // nothing; before, somebody has refused it.
    const bool refused =
        attempt.outcome == Outcome::kFailed && took_ns < kDeadlineMinNanos;
    count += refused || took_ns >= kStallNanos;
  }
  return count;
}

absl::Status Clients::Start() {
  const uint32_t number = static_cast<uint32_t>(clients_.size()) + 1;
  const std::string name = absl::StrCat("client-", number);
  const std::string base = absl::StrCat(workplace_.directory(), "/", name);
  Client client;
  client.ledger = std::make_unique<LedgerReader>(base + ".ledger");
  PARAMO_ASSIGN_OR_RETURN(
      client.process,
      workplace_.Start(name, "paramo-chaos",
                       {"--client", absl::StrCat(number), "--address",
                        addresses_, "--ledger", base + ".ledger", "--rule",
                        rule_, "--seed", absl::StrCat(SeedOf(seed_, number))},
                       base + ".log"));
  clients_.emplace(number, std::move(client));
  live_.push_back(number);
  return absl::OkStatus();
}

// A process that stands still shows whether it has a push under way: one that
// has not is let go on, and tried again.
absl::StatusOr<uint32_t> Clients::Kill(size_t index) {
  const uint32_t number = live_[index];
  Client& client = clients_[number];
  for (int tries = 0; tries < kKillTries; ++tries) {
    client.process->Signal(SIGSTOP);
    PARAMO_RETURN_IF_ERROR(client.ledger->Poll());
    if (InFlight(MonotonicNanos(),
                 [&](uint32_t of, uint64_t) { return of == number; }) > 0) {
      break;
    }
    client.process->Signal(SIGCONT);
    absl::SleepFor(absl::Milliseconds(1));
  }
  client.process->Stop(absl::ZeroDuration());
  live_.erase(live_.begin() + static_cast<std::ptrdiff_t>(index));
  workplace_.Forget(*client.process);
  client.process.reset();
  return number;
}

absl::Status Clients::StopAll(absl::Duration timeout) {
  absl::Status status;
  std::vector<cli::Process*> processes;
  for (uint32_t number : live_) {
    cli::Process& process = *clients_[number].process;
    if (!process.Running()) status = cli::EndedError(process);
    processes.push_back(&process);
  }
  cli::StopAll(processes, timeout);
  for (uint32_t number : live_) {
    cli::Process& process = *clients_[number].process;
    if (!process.succeeded()) status = cli::EndedError(process);
    workplace_.Forget(process);
  }
  live_.clear();
  return status;
}

absl::Status Clients::Poll() {
  for (auto& [number, client] : clients_) {
    PARAMO_RETURN_IF_ERROR(client.ledger->Poll());
  }
  for (uint32_t number : live_) {
    cli::Process& process = *clients_[number].process;
    if (!process.Running()) return cli::EndedError(process);
  }
  return absl::OkStatus();
}

std::map<uint32_t, const History*> Clients::histories() const {
  std::map<uint32_t, const History*> all;
  for (const auto& [number, client] : clients_) {
    all[number] = &client.ledger->history();
  }
  return all;
}

uint64_t Clients::InFlight(int64_t at_ns, const Concerns& concerns) const {
  uint64_t count = 0;
  for (const auto& [number, client] : clients_) {
    const History& history = client.ledger->history();
    for (size_t n = FirstFrom(history, at_ns - kPushNanosMax);
         n < history.size() && history[n].begin_ns <= at_ns; ++n) {
      const bool open =
          history[n].outcome == Outcome::kOpen || history[n].end_ns > at_ns;
      count += open && concerns(number, n);
    }
  }
  return count;
}

uint64_t Clients::Acked(int64_t from_ns, int64_t to_ns,
                        const Concerns& concerns) const {
  uint64_t count = 0;
  for (const auto& [number, client] : clients_) {
    count +=
        CountAcked(number, client.ledger->history(), from_ns, to_ns, concerns);
  }
  return count;
}

uint64_t Clients::LeastAcked(int64_t from_ns, int64_t to_ns) const {
  uint64_t least = std::numeric_limits<uint64_t>::max();
  for (uint32_t number : live_) {
    const History& history = clients_.at(number).ledger->history();
    least = std::min(least, CountAcked(number, history, from_ns, to_ns, Any));
  }
  return least;
}

uint64_t Clients::Hurt(int64_t from_ns, int64_t to_ns) const {
  uint64_t count = 0;
  for (const auto& [number, client] : clients_) {
    count += CountHurt(client.ledger->history(), from_ns, to_ns);
  }
  return count;
}

absl::Duration Clients::LongestGap(int64_t from_ns, int64_t to_ns,
                                   const Concerns& concerns) const {
  std::vector<int64_t> ends = {from_ns, to_ns};
  for (const auto& [number, client] : clients_) {
    const History& history = client.ledger->history();
    for (size_t n = FirstFrom(history, from_ns - kPushNanosMax);
         n < history.size(); ++n) {
      if (history[n].outcome == Outcome::kAcked &&
          history[n].end_ns > from_ns && history[n].end_ns < to_ns &&
          concerns(number, n)) {
        ends.push_back(history[n].end_ns);
      }
    }
  }
  std::sort(ends.begin(), ends.end());
  int64_t gap = 0;
  for (size_t i = 1; i < ends.size(); ++i) {
    gap = std::max(gap, ends[i] - ends[i - 1]);
  }
  return absl::Nanoseconds(gap);
}

}  // namespace paramo::chaos
