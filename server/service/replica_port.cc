#include "server/service/replica_port.h"

#include "common/base/log.h"
#include "common/base/status.h"

namespace paramo {

void ReplicaPort::WriteLog(const Record& record, Durability level) {
  absl::Status taken =
      world_.log->Append(record.header, record.payload.pieces(), level);
  // A log that has failed tells its listener, which ends the process.
  if (!taken.ok()) LogDebug("record not logged: %s", ToString(taken));
}

}  // namespace paramo
