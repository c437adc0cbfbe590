#include "server/sync/async.h"
#include "server/sync/bsp.h"
#include "server/sync/policy.h"

namespace paramo {

std::unique_ptr<SyncPolicy> MakeSyncPolicy(SyncKind kind) {
  switch (kind) {
    case SyncKind::kAsync: return std::make_unique<AsyncPolicy>();
    case SyncKind::kBsp: return std::make_unique<BspPolicy>();
  }
  return nullptr;
}

}  // namespace paramo
