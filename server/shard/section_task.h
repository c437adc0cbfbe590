// One section on its way through its shard. The service makes it; the shard
// fills the reply and calls done, exactly once.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/base/ids.h"
#include "common/codec/codec.h"
#include "common/mem/budget.h"
#include "common/mem/rope.h"
#include "common/strand/strand.h"
#include "common/wire/reply.h"
#include "common/wire/request.h"
#include "server/table/row_pins.h"

namespace paramo {

class Shard;

// What an accumulated push must keep alive until its round closes: the bytes
// as they arrived, and the space for the decoded keys and the addresses of
// rows, which stay encoded, of every section of the request. Shared by the
// request and by open rounds.
struct RequestData {
  Rope rope;
  std::vector<Key> keys;
  std::vector<const float*> rows;
  BudgetCharge charge;  // of rope.pinned_bytes()
};

// Life: part of the service's request object, which lives until every section
// is done. Threads: touched by the service before it is posted, then by the
// shard's strand, then by whoever runs done.
struct SectionTask : StrandTask {
  explicit SectionTask(Run run) : StrandTask(run) {}

  // Fixed by the service.
  Shard* shard = nullptr;
  std::shared_ptr<RequestData> data;
  wire::SectionView section;
  bool is_pull = false;
  bool follows_push = false;  // a pull that sees the pushes of its request
  // [n] each, within data. Decoded already when the service split the section.
  absl::Span<Key> keys;
  absl::Span<const float*> rows;  // pushes; as Codec::Floats takes them
  const Codec* codec = &F32();    // of rows, and of what a pull gets
  bool decoded = false;
  // Pulls: where the rows go; outs[i] for key i when the section was split.
  uint8_t* out = nullptr;
  std::vector<uint8_t*> outs;
  uint32_t out_dim = 0;       // the width that space was reserved for
  absl::Duration deadline;    // steady time, as the next
  absl::Duration held_until;  // of a push that waits for the number before it
  void (*done)(SectionTask*) = nullptr;

  // Filled by the shard.
  wire::SectionReply reply;
  // Rows that straddle two pieces of the message, copied to lie in one.
  std::shared_ptr<uint8_t[]> seams;
  std::vector<Key> own_keys;  // of a parked pull
  RowPins pins;               // its rows stay in memory until it is done
  std::vector<Key> unpinned;  // its rows that were not in memory
  uint64_t fetch = 0;         // it waits for rows from the store: which fetch
  // Of a push: pulls of its request that came before it was appended.
  std::vector<SectionTask*> followers;
  absl::Duration parked_at;  // steady time
  absl::Duration parked;     // how long it was

  const wire::SectionHeader& header() const { return section.header; }
};

}  // namespace paramo
