// Replies of the data plane: the server lays one out in one block and gathers
// rows straight into it; the client reads it where it lies.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/mem/buffer.h"
#include "common/mem/rope.h"
#include "common/wire/section.h"

namespace paramo::wire {

struct Redirect {
  uint32_t shard = 0;
  std::string address;
};

struct SectionReplyView {
  SectionReplyHeader header;
  std::string message;
  ByteRange values;  // within the rope; [n, dim] for a pull
  std::vector<Redirect> redirects;
};

struct ReplyView {
  Rope rope;
  uint64_t id = 0;
  uint32_t code = 0;  // of the Request as a whole
  uint32_t reason = 0;
  uint64_t state_version = 0;
  uint32_t retry_after_ms = 0;
  std::optional<Hello> hello;
  std::vector<SectionReplyView> push;
  std::vector<SectionReplyView> pull;
  std::string message;
  uint32_t parked_us = 0;  // the longest wait of a pull for its sync policy
};

// Errors: INVALID_ARGUMENT  not a Reply
absl::StatusOr<ReplyView> ParseReply(Rope rope);

// The id of a Reply, or of a Request, without parsing the rest; 0 when it has
// none. (It is field 1 of both.)
uint64_t PeekId(const Rope& rope);

// DATA_LOSS when the checksum of a pull's values is wrong.
absl::Status CheckCrc(const Rope& rope, const SectionReplyView& section);

// What a server says about one section besides its rows.
struct SectionReply {
  SectionReplyHeader header;
  std::string message;              // empty unless header.code != 0
  std::vector<Redirect> redirects;  // nearly always empty
};

// Lays a Reply out in one block. Value space is reserved for every pull up
// front, so that shards gather into it side by side; the space of a pull that
// failed is left out of the message when it is taken. Use:
//   ReplyWriter writer(id, state_version, push_count, {bytes of each pull});
//   write writer.values(i) from any thread;
//   Message m = writer.Take(push replies, pull replies);
class ReplyWriter {
 public:
  ReplyWriter(uint64_t id, uint64_t state_version, size_t push_count,
              absl::Span<const size_t> pull_value_bytes);

  // Space for the rows of pull section `pull`; unaligned.
  uint8_t* values(size_t pull) { return block_.data() + values_[pull].offset; }

  // Computes the checksums and writes all headers. In the common case (no
  // messages, every pull answered, none parked) the result is the one block.
  Message Take(absl::Span<SectionReply> push, absl::Span<SectionReply> pull,
               uint32_t parked_us = 0);

 private:
  uint64_t id_;
  uint64_t state_version_;
  std::vector<ByteRange> values_;
  Buffer block_;
};

// A Reply without sections: a refusal of the whole Request, or a Hello.
Message WriteReply(uint64_t id, uint32_t code, Reason reason,
                   uint64_t state_version, const std::string& message,
                   const Hello* hello);

}  // namespace paramo::wire
