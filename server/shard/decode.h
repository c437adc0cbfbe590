// From the bytes of a section to keys and row addresses, and the checks on
// their shape. Leaves: no shard state, no locks.
#pragma once

#include "absl/status/status.h"
#include "common/wire/section.h"
#include "server/shard/section_task.h"
#include "server/table/table_config.h"

namespace paramo {

struct DecodeError {
  absl::Status status;
  wire::Reason reason = wire::Reason::kNone;
};

// Copies the key block into task.keys. (Key blocks are unaligned and small: 8
// bytes per row.)
DecodeError DecodeKeyBlock(SectionTask& task);

// The same, and checks that every key belongs to the section's shard.
DecodeError DecodeKeys(SectionTask& task, uint32_t shard_count);

// Whether a section that brings pulled or first values may do so: for pulled
// ones the table compensates delay, and the keys (decoded) are strictly
// ascending.
DecodeError CheckExtras(const SectionTask& task, const TableConfig& table);

// Points task.rows at the gradient rows where they lie in the message, as
// task.codec has written them, each with its pulled values behind it when the
// section has them; rows that straddle two pieces are copied to task.seams.
// Refuses an unknown codec, another size than the keys make, and bytes that are
// no row.
DecodeError DecodeRows(SectionTask& task, uint32_t dim);

}  // namespace paramo
