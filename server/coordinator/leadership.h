// Whether this coordinator leads, and what it has in memory while it does.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "server/coordinator/core.h"
#include "server/coordinator/liveness.h"
#include "server/coordinator/loop.h"
#include "server/coordinator/prober.h"

namespace paramo {

// Everything that a coordinator knows while it leads, and drops whole when it
// leads no more: the next term starts from the store. Alone over an embedded
// store, it has one term as long as the process.
struct Term {
  Liveness liveness;
  std::unique_ptr<Core> core;
  std::unique_ptr<Loop> loop;  // stopped before the term goes
  std::unique_ptr<Prober> prober;
};

// The term there is, if any. Threads: any.
class Leadership {
 public:
  // The present term, shared with calls that are just posting to its loop.
  // Errors: UNAVAILABLE  not leading: who does, if that is known
  absl::StatusOr<std::shared_ptr<Term>> Current() const;

  // `holds` says whether it still does; asked by every Current.
  void Begin(std::shared_ptr<Term> term, std::function<bool()> holds);

  // Ends it: answers whoever waits, and forgets everything.
  void End();

  // While not leading: host:port of who leads; empty = nobody known.
  void Follow(std::string leader);

 private:
  absl::Status Refusal() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable Mutex mu_;
  std::shared_ptr<Term> term_ ABSL_GUARDED_BY(mu_);
  std::function<bool()> holds_ ABSL_GUARDED_BY(mu_);
  std::string leader_ ABSL_GUARDED_BY(mu_);
};

}  // namespace paramo
