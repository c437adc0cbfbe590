// The numbers that name things. One word per idea; docs/data_path.md is the
// glossary. They are plain integers because they cross the wire as such.
#pragma once

#include <cstdint>

namespace paramo {

using Key = uint64_t;        // a row's name within its table
using TableId = uint32_t;    // given by the coordinator, never reused
using ShardId = uint32_t;    // [0, shard count)
using Epoch = uint64_t;      // version of one shard's configuration; only grows
using HistoryId = uint64_t;  // names one unbroken past of a shard
using Lsn = uint64_t;  // position in one shard's log; the first record is 1
using SessionId = uint64_t;  // one client incarnation; 0 = no session
using SeqNo = uint64_t;  // dense per (session, shard), from 1; 0 = unsequenced
using WorkerClock = uint64_t;  // steps a worker has finished
using WorkerId = uint32_t;     // a member's rank within its job

inline constexpr SessionId kNoSession = 0;

}  // namespace paramo
