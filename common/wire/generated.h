// The slow road: messages that are valid protobuf but not canonical (clients
// in other languages, unknown fields, another field order) and messages that
// are rare (hello, errors) go through generated code.
#pragma once

#include "absl/status/status.h"
#include "common/mem/rope.h"
#include "common/wire/reply.h"
#include "common/wire/request.h"

namespace paramo::wire {

// Fill `view`, whose rope becomes a new one that holds the blocks.
absl::Status ParseGenerated(const Rope& rope, RequestView& view);
absl::Status ParseGenerated(const Rope& rope, ReplyView& view);

}  // namespace paramo::wire
