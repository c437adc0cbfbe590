// The client processes of a run, and what their ledgers say.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/janitor.h"
#include "client/cli/process.h"
#include "tests/chaos/ledger.h"

namespace paramo::chaos {

// Says whether a push of a client, by its number, concerns somebody.
using Concerns = std::function<bool(uint32_t client, uint64_t number)>;

// Pushes that began at `from_ns` or later and by `to_ns` have failed, or waited
// for as long as no push does that needs nothing which is missing.
uint64_t CountHurt(const History& history, int64_t from_ns, int64_t to_ns);

// Threads: one.
class Clients {
 public:
  Clients(cli::Workplace& workplace, std::string addresses, std::string rule,
          uint64_t seed)
      : workplace_(workplace),
        addresses_(std::move(addresses)),
        rule_(std::move(rule)),
        seed_(seed) {}

  // Starts one more process, with a ledger of its own.
  absl::Status Start();
  size_t live() const { return live_.size(); }
  // Kills live process `index` with SIGKILL while it has a push under way;
  // returns its number.
  absl::StatusOr<uint32_t> Kill(size_t index);
  // Lets all finish what is in flight. FAILED_PRECONDITION when one had ended
  // by itself, or does not end within `timeout`.
  absl::Status StopAll(absl::Duration timeout);

  // Reads what the ledgers have got. FAILED_PRECONDITION when a live client has
  // ended by itself.
  absl::Status Poll();
  // By client number, of all that ever lived.
  std::map<uint32_t, const History*> histories() const;

  // Pushes under way at `at_ns`.
  uint64_t InFlight(int64_t at_ns, const Concerns& concerns) const;
  // Pushes acknowledged that began at `from_ns` or later and ended by `to_ns`.
  uint64_t Acked(int64_t from_ns, int64_t to_ns,
                 const Concerns& concerns) const;
  // The same of each live client; the least of these.
  uint64_t LeastAcked(int64_t from_ns, int64_t to_ns) const;
  // CountHurt of all.
  uint64_t Hurt(int64_t from_ns, int64_t to_ns) const;
  // The longest time within [from_ns, to_ns] without an acknowledgement.
  absl::Duration LongestGap(int64_t from_ns, int64_t to_ns,
                            const Concerns& concerns) const;

 private:
  struct Client {
    std::unique_ptr<cli::Process> process;  // null once it has ended
    std::unique_ptr<LedgerReader> ledger;
  };

  cli::Workplace& workplace_;
  const std::string addresses_;
  const std::string rule_;
  const uint64_t seed_;
  std::map<uint32_t, Client> clients_;
  std::vector<uint32_t> live_;
};

}  // namespace paramo::chaos
