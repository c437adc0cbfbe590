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
using client::Elements;
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

// Decides by what memory is laid out by, not by what the coordinator last said.
Result<Tensor> AsTensor(Core& core, const Table& table) {
  auto handle = core.view().AddTable(table.info());
  if (handle->blocks != nullptr) return Core::MakeTensor(std::move(handle));
  const std::string& name = table.info().spec.name;
  return InvalidSpec(
      name, absl::StrCat("table ", name, " is sparse, not a dense tensor"));
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
  if (absl::Status bad = ToProto(spec, request); !bad.ok()) {
    return FromAbsl(bad, "create table", spec.name);
  }
  auto reply = core_->control().CreateTable(request, core_->Deadline({}));
  if (!reply.ok()) {
    return FromAbsl(reply.status(), "create table", spec.name);
  }
  auto info = FromProto((*reply)->table());
  if (!info.ok()) return FromAbsl(info.status(), "create table", spec.name);
  return Core::MakeTable(core_->view().AddTable(*std::move(info)));
}

Result<Table> Cluster::OpenTable(const std::string& name) {
  auto known = core_->view().FindTable(name);
  if (known.ok()) return Core::MakeTable(*std::move(known));
  if (!absl::IsNotFound(known.status())) {
    return FromAbsl(known.status(), "open table", name);
  }
  auto table = core_->control().DescribeTable(name, core_->Deadline({}));
  if (!table.ok()) return FromAbsl(table.status(), "open table", name);
  auto info = FromProto(**table);
  if (!info.ok()) return FromAbsl(info.status(), "open table", name);
  return Core::MakeTable(core_->view().AddTable(*std::move(info)));
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
  return AsTensor(*core_, *table);
}

Result<Tensor> Cluster::OpenTensor(const std::string& name) {
  auto table = OpenTable(name);
  if (!table.ok()) return table.status();
  return AsTensor(*core_, *table);
}

Result<TableInfo> Cluster::AlterTable(const std::string& name,
                                      const TableChanges& changes) {
  v1::AlterTableRequest request;
  request.set_name(name);
  ToProto(changes, request);
  auto table = core_->control().AlterTable(request, core_->Deadline({}));
  if (!table.ok()) return FromAbsl(table.status(), "alter table", name);
  auto info = FromProto(**table);
  if (!info.ok()) return FromAbsl(info.status(), "alter table", name);
  return core_->view().AddTable(*std::move(info))->info;
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
    auto info = FromProto(table);
    if (!info.ok()) return FromAbsl(info.status(), "list tables");
    tables.push_back(*std::move(info));
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
