// Requests of job members, for tests.
#pragma once

#include <string>

#include "paramo/v1/control.pb.h"

namespace paramo {

// Two workers, one epoch of 8 batches in 4 data shards of 2; lease 1 s.
inline v1::JobSpec TestJobSpec(const std::string& name = "fashion") {
  v1::JobSpec spec;
  spec.set_name(name);
  spec.set_workers(2);
  spec.set_epochs(1);
  spec.set_examples(80);
  spec.set_batch(10);
  spec.set_batches_per_data_shard(2);
  spec.set_lease_ms(1000);
  return spec;
}

template <typename Request>
Request MemberRequest(const v1::JoinJobReply& member) {
  Request request;
  request.set_job(member.job());
  request.set_worker(member.worker());
  request.set_session(member.session());
  return request;
}

// Asks for `want` leases; names those of `held`, finished when `finished`.
inline v1::LeaseDataRequest LeaseRequest(const v1::JoinJobReply& member,
                                         uint32_t want,
                                         const v1::LeaseDataReply& held = {},
                                         bool finished = false) {
  auto request = MemberRequest<v1::LeaseDataRequest>(member);
  request.set_want(want);
  for (const v1::DataPosition& lease : held.leases()) {
    v1::DataPosition* position = request.add_positions();
    *position = lease;
    position->set_finished(finished);
  }
  return request;
}

}  // namespace paramo
