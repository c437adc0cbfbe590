// What makes a JobSpec valid, and how two of them differ. Pure functions.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "server/coordinator/data_shards.h"

namespace paramo {
namespace v1 {
class JobSpec;
}

// Checks every field and fills in defaults (lease, sync).
// Errors: INVALID_ARGUMENT, with the field and its range
absl::Status NormaliseJobSpec(v1::JobSpec* spec);

// How the job's data is cut; bsp owns its data shards, async does not.
DataPlan PlanOf(const v1::JobSpec& spec);

// "epochs: 3 there, 5 asked"; empty when they are equal. Both normalised.
std::string DescribeDifference(const v1::JobSpec& there,
                               const v1::JobSpec& asked);

}  // namespace paramo
