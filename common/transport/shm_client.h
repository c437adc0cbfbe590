// The client's side of shared memory: a lane, and who has which part of it.
// What both sides do with it: shm_lanes.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "common/base/descriptor.h"
#include "common/base/mutex.h"
#include "common/mem/buffer.h"
#include "common/mem/rope.h"
#include "common/transport/shm_memory.h"
#include "common/wire/envelope.h"

namespace paramo {

class ShmBlock;

// One lane. Life: made for one stream and never used for another, so that
// nothing written for an earlier one can turn up in it; the memory stays mapped
// as long as a block of it does. Threads: any.
class ShmClient : public std::enable_shared_from_this<ShmClient> {
 public:
  // Asks the server of that token for a lane. Blocks for 1 s at most.
  // Errors: FAILED_PRECONDITION  the directory, the server or the memory is not
  //                              what it should be
  //         UNAVAILABLE          there is none to be had
  //         others               of the kernel: nobody is there
  static absl::StatusOr<std::shared_ptr<ShmClient>> Connect(
      const std::string& directory, uint64_t token);

  // Room for a request of `bytes` and a reply of at most `reply_bytes`; none
  // when there is too little left, in the lane or in the machine. It is free
  // again when the block's last owner has gone: the request, whoever waits for
  // the answer, and the answer.
  std::optional<Buffer> Make(size_t bytes, size_t reply_bytes);

  // When the stream has ended. Blocks stay as they are, but none is made any
  // more: what the server has not answered yet it may still answer, into a
  // block that nobody keeps. Forked children that hold the socket too do not
  // hold the lane with it.
  void Close();

  // The block that the message is laid out in; null: it lies elsewhere.
  std::shared_ptr<const ShmBlock> Find(const Message& message) const;

 private:
  friend class ShmBlock;

  ShmClient(Descriptor socket, std::unique_ptr<SharedMemory> memory,
            uint64_t lane);
  // First fit, so that what is used lies at the beginning: few pages, warm
  // ones.
  std::optional<size_t> Take(size_t bytes);
  void GiveBack(size_t offset, size_t bytes);
  // False when the kernel has no pages for the lane up to `end`.
  bool Reserve(size_t end);

  const Descriptor socket_;  // open while the lane is wanted
  const std::unique_ptr<SharedMemory> memory_;
  const uint64_t lane_;

  Mutex mu_;
  std::map<size_t, size_t> free_ ABSL_GUARDED_BY(mu_);  // offset, bytes
  size_t reserved_ ABSL_GUARDED_BY(mu_) = 0;  // below it all pages are there
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

// A part of a lane: a request, its seal, and behind them room for the reply.
class ShmBlock {
 public:
  ShmBlock(std::shared_ptr<ShmClient> client, size_t offset, size_t bytes,
           size_t reply_bytes)
      : client_(std::move(client)),
        offset_(offset),
        bytes_(bytes),
        reply_bytes_(reply_bytes) {}
  ~ShmBlock();
  ShmBlock(const ShmBlock&) = delete;
  ShmBlock& operator=(const ShmBlock&) = delete;

  // Seals the request, and gives what goes over the stream for it.
  Message Seal(uint64_t id) const;
  // The reply that came, in place, its seal checked and taken off; it keeps the
  // block. None: what the envelope says is no reply to this request.
  static std::optional<Rope> ReadReply(std::shared_ptr<const ShmBlock> block,
                                       const wire::ShmReply& envelope);
  // The first `bytes` of the reply, in place, whatever they are; they keep the
  // block.
  static Rope Reply(std::shared_ptr<const ShmBlock> block, size_t bytes);

 private:
  friend class ShmClient;
  uint8_t* data() const;

  const std::shared_ptr<ShmClient> client_;
  const size_t offset_;
  const size_t bytes_;        // of the request, without its seal
  const size_t reply_bytes_;  // right behind that
};

}  // namespace paramo
