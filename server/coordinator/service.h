// The coordinator's gRPC services: Coordinator and Admin (Cluster.Watch is
// common/transport's StateWatch). Callback calls throughout: no request holds
// a thread while it waits.
#pragma once

#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "common/metrics/metrics.h"
#include "common/transport/state_watch.h"
#include "server/coordinator/awake_time.h"
#include "server/coordinator/leadership.h"

namespace grpc {
class Service;
}

namespace paramo {

// All outlive the services.
struct ServiceParts {
  const Leadership& leadership;
  AwakeTime& time;
  const StateWatch& watch;
  MetricsRegistry& metrics;
};

// To register with the gRPC server, which they outlive. Without a term, every
// call is answered UNAVAILABLE, with kNotLeadingKey in its trailing metadata:
// whoever may not repeat a call learns from it that nothing has happened.
std::unique_ptr<grpc::Service> MakeCoordinatorService(
    const ServiceParts& parts);
// Admin.Stats; the other methods are for servers and answer UNIMPLEMENTED.
std::unique_ptr<grpc::Service> MakeStatsService(const MetricsRegistry& metrics);

}  // namespace paramo
