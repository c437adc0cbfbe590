// Between the public structs and the messages of the control plane.
#pragma once

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

void ToProto(const TableSpec& spec, v1::TableSpec& out);
void ToProto(const TableChanges& changes, v1::AlterTableRequest& out);
void ToProto(const JobSpec& spec, v1::JobSpec& out);
void ToProto(const WorkerProgress& progress, v1::WorkerProgress& out);

TableInfo FromProto(const v1::Table& table);
JobSpec FromProto(const v1::JobSpec& spec);
JobReport FromProto(const v1::JobReport& report);

}  // namespace client
}  // namespace paramo
