// What goes over a stream in place of a message that lies in shared memory
// (docs/formats/wire.md, "Shared memory"). Only this encoding is read as such:
// every field, in ascending order, and nothing else but the seal.
#pragma once

#include <cstdint>
#include <optional>

#include "common/mem/buffer.h"
#include "common/mem/rope.h"

namespace paramo::wire {

struct ShmRequest {
  uint64_t id = 0;
  uint64_t lane = 0;
  uint32_t offset = 0;
  uint32_t bytes = 0;  // with the seal
  uint32_t reply_offset = 0;
  uint32_t reply_bytes = 0;  // at most
};

struct ShmReply {
  uint64_t id = 0;
  uint32_t bytes = 0;  // with the seal
};

Message WriteShmRequest(const ShmRequest& request);
Message WriteShmReply(const ShmReply& reply);

// Of messages whose seal has been taken off; none: it is an ordinary one.
std::optional<ShmRequest> ReadShmRequest(const Rope& message);
std::optional<ShmReply> ReadShmReply(const Rope& message);

}  // namespace paramo::wire
