#include "common/base/cpu.h"

namespace paramo {

absl::Status CheckCpu() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
    return absl::FailedPreconditionError(
        "this processor lacks AVX2 or FMA; Paramo needs both, because replicas "
        "must compute bit-identical rows (a Haswell or Zen or later will do)");
  }
#endif
  return absl::OkStatus();
}

}  // namespace paramo
