// A push as a log record carries it: the section that the client encoded.
#pragma once

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "common/mem/rope.h"
#include "server/shard/section_task.h"

namespace paramo {

// The canonical section of a validated push, sharing the bytes that the client
// sent. A part of a section that the server split is copied together; `dim` is
// that of its table.
Rope EncodePush(const SectionTask& task, uint32_t dim);

// Makes `task` ready to be applied, as it was on the server that appended it:
// data, section, keys and row addresses. `dim_of` gives 0 for a table that is
// not there (any more); then only the header counts. Errors: DATA_LOSS  the
// payload is not one that EncodePush made
absl::Status DecodePush(const Rope& payload,
                        absl::FunctionRef<uint32_t(TableId)> dim_of,
                        SectionTask& task);

}  // namespace paramo
