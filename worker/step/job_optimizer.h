// The part of the job file that says how gradients change tables.
#pragma once

#include "common/config/yaml.h"
#include "worker/step/job_file.h"

namespace paramo {

// Reads the map `optimizer`: the rule with its hyper-parameters, clipping, and
// the schedule. Errors stay with the map.
void ReadOptimizer(YamlMap& optimizer, JobFile& job);

}  // namespace paramo
