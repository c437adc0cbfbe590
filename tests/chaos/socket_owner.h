// Whose connection is this: of processes on this machine, from /proc.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

namespace paramo::chaos {

// The one of `pids` that holds the other end of a TCP connection on IPv4 which
// goes from port `from` to port `to`; 0 if none does. Cost: reads the table of
// all connections, and of the files that the processes have open.
pid_t OwnerOfConnection(uint16_t from, uint16_t to,
                        const std::vector<pid_t>& pids);

}  // namespace paramo::chaos
