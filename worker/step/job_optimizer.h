// The part of the job file that says how gradients change tables.
#pragma once

#include "common/config/yaml.h"
#include "worker/step/job_file.h"

namespace paramo {

// Reads the map `optimizer`: the rule with its hyper-parameters, clipping, and
// the schedule. Errors stay with the map.
void ReadOptimizer(YamlMap& optimizer, JobFile& job);

// Reads the map `averaging`.
void ReadAveraging(YamlMap& averaging, JobFile& job);

// Whether the rest of the job is one whose models can be averaged.
// Errors: INVALID_ARGUMENT at the key to change
absl::Status CheckAveraging(const YamlNode& root, const JobFile& job);

}  // namespace paramo
