// The processor check that every binary makes first.
#pragma once

#include "absl/status/status.h"

namespace paramo {

// FAILED_PRECONDITION, in words for a person, when the processor lacks what
// bit-identical rules need: AVX2 and FMA on x86-64, NEON on arm64.
absl::Status CheckCpu();

}  // namespace paramo
