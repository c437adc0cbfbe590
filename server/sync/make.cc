#include "server/sync/async.h"
#include "server/sync/policy.h"
#include "server/sync/round_policy.h"
#include "server/sync/ssp.h"

namespace paramo {

std::unique_ptr<SyncPolicy> MakeSyncPolicy(const SyncSpec& spec) {
  switch (spec.kind) {
    case SyncKind::kAsync:
      return std::make_unique<AsyncPolicy>();
    case SyncKind::kSsp:
      return std::make_unique<SspPolicy>(spec);
    case SyncKind::kBsp:
    case SyncKind::kRound:
      return std::make_unique<RoundPolicy>(spec);
  }
  return nullptr;
}

}  // namespace paramo
