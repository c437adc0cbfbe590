// From the inside of a call to what a person is told.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/core/call.h"
#include "paramo/options.h"
#include "paramo/status.h"

namespace paramo::client {

// "push of table ads has waited 5.0 s for shards 3, 7 at 127.0.0.1:4001 (2
// attempts; last: UNAVAILABLE: ...)".
std::string DescribeWait(const Call& call, absl::Duration now);

// The outcome of a call whose parcels are all settled; OK when every one was
// answered well.
Status MakeStatus(const Call& call, absl::Duration now);

// The answer of a push that went well everywhere.
PushAck MakeAck(const Call& call);

// What a control-plane call failed with. `action` as in ErrorDetails.
Status FromAbsl(const absl::Status& status, const std::string& action,
                const std::string& table = "");

// What to do about a refusal, from its code and Reason; never empty.
std::string HintFor(Code code, uint32_t reason);

}  // namespace paramo::client
