// What an operator asks one server: statistics, checksums, keys. Service Admin
// of admin.proto.
#pragma once

#include <functional>
#include <memory>

#include "common/metrics/metrics.h"
#include "server/shard/shard.h"

namespace grpc {
class Service;
}

namespace paramo {

// Runs a function on every shard's strand, in turn, and waits.
using ForEachShard =
    std::function<void(const std::function<void(Shard&)>& read)>;

// `metrics` and what `for_each` reaches must outlive the service. Reading the
// checksum of a table holds one strand at a time, for about 1 s per GB.
std::unique_ptr<grpc::Service> MakeAdminService(MetricsRegistry& metrics,
                                                ForEachShard for_each);

}  // namespace paramo
