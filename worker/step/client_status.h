// The client library's status as ours.
#pragma once

#include "absl/status/status.h"
#include "paramo/status.h"

namespace paramo {

// The same code, and all that the status knows on one line.
absl::Status FromClient(const Status& status);

}  // namespace paramo
