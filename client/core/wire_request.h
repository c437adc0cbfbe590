// Steps 0 and 8 of the data path: a request laid out from the caller's memory,
// and rows brought from a reply to where the caller wants them; both in the
// codecs of the call's parts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "client/core/call.h"
#include "client/core/delivery.h"
#include "client/core/sent_lists.h"
#include "common/mem/buffer.h"
#include "common/mem/rope.h"
#include "common/wire/reply.h"

namespace paramo::client {

// The bytes of `out`. Lists of keys that are in `sent` go as their hash, but
// never in a section that is sent again. Gradients of equal keys are summed, in
// the order given. The same parcels give the same keys and the same value
// blocks, whenever it is called (what is rounded at random is so by session,
// number and key): a retry needs no copy of what it sent. `make_block` makes
// the block of so many bytes that they are written to.
Message WriteRequest(const Outgoing& out, uint64_t id, uint64_t cluster_id,
                     SentLists& sent,
                     const std::function<Buffer(size_t bytes)>& make_block);

// What the reply to `out` takes at most, when all is well; 0 for pushes alone.
size_t ReplyBytes(const Outgoing& out);

// Reads the answers to the claimed parcels out of `reply`: rows go to the
// caller's memory, results[i] says what became of claimed.parcels[i]. An
// answer that contradicts the request becomes an INTERNAL error.
std::vector<SectionResult> ReadReply(const wire::ReplyView& reply,
                                     const Claimed& claimed);

}  // namespace paramo::client
