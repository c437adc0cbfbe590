// One push or pull on its way: what the caller gave, and how far it has come.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/core/split.h"
#include "client/core/table_handle.h"
#include "common/base/ids.h"
#include "common/codec/codec.h"
#include "common/wire/section.h"

namespace paramo::client {

class Session;

// Of a section or its answer, without what the blocks hold
// (docs/formats/wire.md): 152 bytes at most, rounded up.
inline constexpr size_t kSectionBytes = 160;

// One table's part of a call. Borrows the caller's memory while the call runs.
struct Part {
  bool is_pull = false;
  std::shared_ptr<const TableHandle> handle;
  // Empty for a dense tensor: position p is then key p.
  std::span<const uint64_t> keys;
  // [n, dim]; of a tensor the elements, so that the last row may be cut.
  std::span<const float> grads;        // pushes
  std::span<const float> pulled;       // pushes: as grads, or empty
  bool initial = false;                // pushes: first values
  const Codec* codec = &F32();         // of values, on the wire
  std::span<float> rows;               // pulls
  std::shared_ptr<const Split> split;  // a tensor's is shared by all its calls

  uint32_t dim() const { return handle->info.spec.dim; }
  // Bytes of a row on the wire.
  size_t value_bytes() const {
    return codec->row_bytes(dim()) * (pulled.empty() ? 1 : 2);
  }
  Key KeyAt(uint32_t position) const {
    return keys.empty() ? position : keys[position];
  }
};

// What becomes one section: distinct keys [begin, end) of a part, all on one
// shard. Fixed when the call starts.
struct Parcel {
  static constexpr uint32_t kNoPart = ~0u;

  ShardId shard = 0;
  uint32_t part = kNoPart;  // kNoPart: nothing but an end of clock
  uint32_t begin = 0;
  uint32_t end = 0;
  bool is_pull = false;
  bool end_of_clock = false;
  size_t bytes = 0;  // of the section or of its answer, the larger
};

enum class ParcelState : uint8_t {
  kQueued,    // a push: the session's window on its shard is full
  kReady,     // to be sent as soon as its server may have more
  kKeptBack,  // a push: an earlier one of its shard must be sent again first
  kWaiting,   // until `due`, or until a newer shard map comes
  kInFlight,
  kAnswering,  // its answer is being read into the caller's memory
  kSettled,    // answered, or given up
};

// How far a parcel has come. Owned by Delivery once the call has started.
struct Progress {
  ParcelState state = ParcelState::kReady;
  bool left = false;  // some attempt may have reached a server
  int attempts = 0;
  SeqNo seq = 0;           // 0 = none yet
  absl::Duration due;      // kWaiting: not before
  bool wants_map = false;  // kWaiting: or as soon as a newer map is here
  // The last attempt: its request, shard configuration, and the session's
  // first unsettled number, floor and server then.
  uint64_t flight = 0;
  Epoch epoch = 0;
  SeqNo lowest = 0;
  Epoch floor_epoch = 0;
  Lsn floor_lsn = 0;
  std::string endpoint;
  wire::SectionReplyHeader answer;
  absl::Status error;  // why it was not answered well (the last time)
};

// Life: shared by Delivery, by requests in flight and by threads working on
// its messages. `done` runs once, when nothing touches the caller's memory.
struct Call {
  // Fixed before Start.
  std::vector<Part> parts;
  std::vector<Parcel> parcels;       // pushes first
  std::shared_ptr<Session> session;  // null: pulls without a session
  uint64_t clock = 0;
  uint32_t examples = 1;
  uint64_t data_position = 0;
  absl::Duration start;
  absl::Duration deadline;
  bool is_push = false;  // has at least one push parcel
  bool filler = false;   // settles numbers of a call that gave up
  std::function<void(Call&)> done;

  // Owned by Delivery.
  uint64_t number = 0;
  std::vector<Progress> progress;  // [parcels]
  size_t open = 0;                 // parcels not settled
  int busy = 0;                    // threads in the caller's memory
  absl::Duration parked;           // the longest that a server made it wait
  // Delivery looks at it unasked then, or before.
  absl::Duration wake = absl::InfiniteDuration();
  absl::Duration next_log;
};

// Largest request that is made of many sections, and largest section: a bigger
// call becomes several requests, so that the server works on the first while
// the next is written. One row may exceed it (dim 65,536 is 256 KiB).
inline constexpr size_t kRequestBytesTarget = size_t{4} << 20;

// Cuts the parts of a call into parcels, pushes first. With `end_of_clock`,
// the last push parcel of every shard carries the mark, and shards that no
// push touches get an empty one.
void MakeParcels(std::span<const Part> parts, uint32_t shard_count,
                 bool end_of_clock, std::vector<Parcel>& parcels);

}  // namespace paramo::client
