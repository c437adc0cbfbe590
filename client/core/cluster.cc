// Cluster: the catalogue. Pulls and pushes: table.cc; connecting: core.
#include "paramo/cluster.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/core/convert.h"
#include "client/core/core.h"
#include "client/core/errors.h"
#include "paramo/job.h"
#include "paramo/v1/control.pb.h"

namespace paramo {

using client::Core;
using client::FromAbsl;
using client::FromProto;
using client::HintFor;
using client::ToProto;

namespace {

Status InvalidSpec(const std::string& table, std::string message) {
  ErrorDetails details;
  details.message = std::move(message);
  details.action = "create tensor";
  details.table = table;
  details.hint = HintFor(Code::kInvalidArgument, 0);
  return Status(Code::kInvalidArgument, std::move(details));
}

// The product of `shape`; 0 when it is empty, has a 0, or is above 2^40 (4 TiB
// of floats, more than any cluster's shard may hold).
uint64_t Elements(const std::vector<uint64_t>& shape) {
  constexpr uint64_t kElementsMax = uint64_t{1} << 40;
  uint64_t elements = shape.empty() ? 0 : 1;
  for (uint64_t extent : shape) {
    if (extent == 0 || elements > kElementsMax / extent) return 0;
    elements *= extent;
  }
  return elements;
}

}  // namespace

inline namespace sdk {

Cluster::Cluster(std::unique_ptr<Core> core) : core_(std::move(core)) {}
Cluster::~Cluster() = default;

Result<std::unique_ptr<Cluster>> Cluster::Connect(ConnectOptions options) {
  auto core = Core::Connect(std::move(options));
  if (!core.ok()) return core.status();
  return std::unique_ptr<Cluster>(new Cluster(*std::move(core)));
}

// ---- Catalogue --------------------------------------------------------------

Result<Table> Cluster::CreateTable(const TableSpec& spec) {
  v1::TableSpec request;
  ToProto(spec, request);
  auto reply = core_->control().CreateTable(request, core_->Deadline({}));
  if (!reply.ok()) {
    return FromAbsl(reply.status(), "create table", spec.name);
  }
  return Core::MakeTable(core_->view().AddTable(FromProto((*reply)->table())));
}

Result<Table> Cluster::OpenTable(const std::string& name) {
  if (auto known = core_->view().FindTable(name)) {
    return Core::MakeTable(std::move(known));
  }
  auto table = core_->control().DescribeTable(name, core_->Deadline({}));
  if (!table.ok()) return FromAbsl(table.status(), "open table", name);
  return Core::MakeTable(core_->view().AddTable(FromProto(**table)));
}

Result<Tensor> Cluster::CreateTensor(TableSpec spec) {
  const uint64_t elements = Elements(spec.shape);
  if (elements == 0) {
    return InvalidSpec(spec.name,
                       "shape must have at least one extent, none of them 0, "
                       "and at most 2^40 elements");
  }
  if (spec.dim == 0) {
    spec.dim =
        static_cast<uint32_t>(std::min<uint64_t>(elements, kTensorDimDefault));
  }
  auto table = CreateTable(spec);
  if (!table.ok()) return table.status();
  return Core::MakeTensor(core_->view().AddTable(table->info()));
}

Result<Tensor> Cluster::OpenTensor(const std::string& name) {
  auto table = OpenTable(name);
  if (!table.ok()) return table.status();
  if (table->info().spec.shape.empty()) {
    return InvalidSpec(name, absl::StrCat("table ", name,
                                          " is sparse, not a "
                                          "dense tensor"));
  }
  return Core::MakeTensor(core_->view().AddTable(table->info()));
}

Result<TableInfo> Cluster::AlterTable(const std::string& name,
                                      const TableChanges& changes) {
  v1::AlterTableRequest request;
  request.set_name(name);
  ToProto(changes, request);
  auto table = core_->control().AlterTable(request, core_->Deadline({}));
  if (!table.ok()) return FromAbsl(table.status(), "alter table", name);
  return core_->view().AddTable(FromProto(**table))->info;
}

Status Cluster::DropTable(const std::string& name) {
  return FromAbsl(core_->control().DropTable(name, core_->Deadline({})),
                  "drop table", name);
}

Result<std::vector<TableInfo>> Cluster::ListTables() {
  auto reply = core_->control().ListTables(core_->Deadline({}));
  if (!reply.ok()) return FromAbsl(reply.status(), "list tables");
  std::vector<TableInfo> tables;
  for (const v1::Table& table : (*reply)->tables()) {
    tables.push_back(FromProto(table));
  }
  return tables;
}

Result<bool> Cluster::CreateJob(const JobSpec& spec) {
  v1::JobSpec request;
  ToProto(spec, request);
  auto reply = core_->control().CreateJob(request, core_->Deadline({}));
  if (!reply.ok()) {
    return FromAbsl(reply.status(), absl::StrCat("create job ", spec.name));
  }
  return (*reply)->created();
}

// ---- About ------------------------------------------------------------------

Status Cluster::Flush(std::chrono::milliseconds deadline) {
  return core_->Flush(deadline);
}

uint64_t Cluster::id() const { return core_->view().map()->cluster_id(); }

uint32_t Cluster::shard_count() const {
  return core_->view().map()->shard_count();
}

ClusterStats Cluster::stats() const { return core_->stats(); }

}  // namespace sdk
}  // namespace paramo
