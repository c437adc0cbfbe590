// Between the public structs and the messages of the control plane.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "paramo/job.h"
#include "paramo/spec.h"

namespace paramo {

namespace v1 {
class AlterTableRequest;
class JobReport;
class JobSpec;
class NonFinite;
class Table;
class TableSpec;
class UpdateRule;
class WorkerProgress;
}  // namespace v1

namespace client {

// Errors: INVALID_ARGUMENT  the codec is unknown to this build
absl::Status ToProto(const TableSpec& spec, v1::TableSpec& out);
void ToProto(const TableChanges& changes, v1::AlterTableRequest& out);
void ToProto(const JobSpec& spec, v1::JobSpec& out);
void ToProto(const WorkerProgress& progress, v1::WorkerProgress& out);

// The product of `shape`; 0 when it is empty, has a 0, or is above 2^40 (4 TiB
// of floats, more than any cluster's shard may hold).
uint64_t Elements(const std::vector<uint64_t>& shape);

// DATA_LOSS for a row width or a shape that no table can have: a coordinator's
// word is not taken for what memory is laid out by.
absl::StatusOr<TableInfo> FromProto(const v1::Table& table);
JobSpec FromProto(const v1::JobSpec& spec);
JobReport FromProto(const v1::JobReport& report);

}  // namespace client
}  // namespace paramo
