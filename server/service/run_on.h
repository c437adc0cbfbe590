// Work on a shard's strand for a thread that may wait for it.
#pragma once

#include <future>

#include "server/shard/shard.h"

namespace paramo {

// Runs `work` on the shard's strand and waits for it. Never call this on a
// strand.
template <typename F>
void RunOn(Shard& shard, F work) {
  std::promise<void> finished;
  shard.Post([&] {
    work();
    finished.set_value();
  });
  finished.get_future().wait();
}

}  // namespace paramo
