#include "server/sync/async.h"

namespace paramo {

Admission AsyncPolicy::AdmitPush(WorkerId worker, WorkerClock /*clock*/) const {
  return IsMember(worker) ? Admission::kApply : Admission::kNotAMember;
}

}  // namespace paramo
