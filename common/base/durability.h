// What an acknowledged push survives, a property of its table.
#pragma once

#include <cstdint>

namespace paramo {

// When a replica, the primary included, counts as having a record. In order:
// a later one survives all that an earlier one does.
enum class Durability : uint8_t {
  kMemory,   // replicated: loss of one server, when another has it
  kWritten,  // logged: kill -9 of every server; the kernel has it
  kSynced,   // synced: power loss everywhere
};

}  // namespace paramo
