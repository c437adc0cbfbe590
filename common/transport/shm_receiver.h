// What one stream of a server has in shared memory.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "common/mem/rope.h"
#include "common/transport/incoming_call.h"

namespace paramo {

class ShmLanes;
struct ShmLane;

// The requests of one stream that lie in shared memory. Threads: one.
class ShmReceiver {
 public:
  explicit ShmReceiver(ShmLanes* lanes) : lanes_(lanes) {}

  // When `message`, its seal taken off, stands for one in shared memory: puts a
  // copy of that in its place, its seal checked, and in place of `sink` one
  // that answers there.
  // Errors: INVALID_ARGUMENT  no lane of this stream, or bytes outside it
  //         DATA_LOSS         the seal is wrong
  absl::Status Fetch(Rope& message, std::shared_ptr<ReplySink>& sink);

  // When the stream is over: its lane ends with it, however long its requests
  // are still held by somebody.
  void End() { lane_ = nullptr; }

 private:
  ShmLanes* const lanes_;  // null: there are none
  std::shared_ptr<ShmLane> lane_;
  uint64_t name_ = 0;  // of lane_
};

}  // namespace paramo
