// How firmly a server holds a record.
#pragma once

#include <cstdint>

namespace paramo {

// When a record counts as held by this server; what it survives.
enum class Durability : uint8_t {
  kMemory,   // replicated: loss of this server, when others have it
  kWritten,  // logged: kill -9 of the process; the kernel has it
  kSynced,   // synced: power loss
};

}  // namespace paramo
