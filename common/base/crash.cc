#include <cstdio>
#include <cstdlib>

#include "common/base/check.h"

namespace paramo {

void CrashOnFailedCheck(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "%s:%d: invariant broken: %s\n", file, line, condition);
  std::fflush(stderr);
  std::abort();
}

}  // namespace paramo
