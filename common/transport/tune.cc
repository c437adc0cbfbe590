#include "common/transport/tune.h"

#include <grpc/support/log.h>
#include <malloc.h>
#include <sys/resource.h>

#include <algorithm>

#include "absl/synchronization/mutex.h"
#include "common/base/log.h"

namespace paramo {
namespace {

// The largest threshold glibc accepts on 64 bits (HEAP_MAX_SIZE / 2): blocks
// up to it come from the heap, and their pages are used again.
constexpr int kMapBytes = 32 << 20;

// Free memory at the top of a heap that is kept, and how much more than needed
// is taken at a time.
constexpr int kKeepBytes = 512 << 20;
constexpr int kGrowBytes = 16 << 20;

// Connections (kConnectionsMax) and the files of the stores, with room.
constexpr rlim_t kDescriptorsWanted = 65536;

// A shell allows 1024 and lets its processes ask for more.
void AllowDescriptors() {
  rlimit allowed = {};
  if (getrlimit(RLIMIT_NOFILE, &allowed) != 0) return;
  const rlim_t wanted = std::min(allowed.rlim_max, kDescriptorsWanted);
  if (allowed.rlim_cur >= wanted) return;
  allowed.rlim_cur = wanted;
  setrlimit(RLIMIT_NOFILE, &allowed);
}

}  // namespace

void TuneProcess() {
  AllowDescriptors();
  mallopt(M_MMAP_THRESHOLD, kMapBytes);
  mallopt(M_TRIM_THRESHOLD, kKeepBytes);
  mallopt(M_TOP_PAD, kGrowBytes);
  gpr_set_log_function([](gpr_log_func_args* args) {
    LogDebug("grpc: %s", Printable(args->message));
  });
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
}

}  // namespace paramo
