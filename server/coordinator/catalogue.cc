#include "server/coordinator/catalogue.h"

#include "absl/strings/str_cat.h"
#include "common/base/ids.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/control.pb.h"
#include "server/coordinator/validate.h"

namespace paramo {
namespace {

std::string KeyOf(absl::string_view table) {
  return absl::StrCat("tables/", table);
}

}  // namespace

Catalogue::Catalogue(uint64_t seed_base, RuleCheck check, Changes& changes)
    : seed_base_(seed_base),
      check_(std::move(check)),
      changes_(changes),
      ids_("next/table", /*block=*/1, changes) {}

Catalogue::~Catalogue() = default;

absl::Status Catalogue::LoadTable(absl::string_view value) {
  auto table = std::make_unique<v1::Table>();
  if (!table->ParseFromArray(value.data(), static_cast<int>(value.size())) ||
      table->id() == 0) {
    return absl::DataLossError("unreadable table entry");
  }
  std::string name = table->spec().name();
  tables_[name] = std::move(table);
  return absl::OkStatus();
}

absl::StatusOr<bool> Catalogue::Create(const v1::TableSpec& spec,
                                       v1::Table* table) {
  v1::TableSpec wanted = spec;
  PARAMO_RETURN_IF_ERROR(NormaliseTableSpec(check_, &wanted));
  auto it = tables_.find(wanted.name());
  if (it != tables_.end()) {
    const v1::TableSpec& there = it->second->spec();
    if (wanted.seed() == 0) wanted.set_seed(there.seed());
    std::string difference = DescribeDifference(there, wanted);
    if (!difference.empty()) {
      return absl::AlreadyExistsError(absl::StrCat(
          "table ", wanted.name(), " exists and differs: ", difference,
          "; open it as it is, choose another name, or drop it first"));
    }
    *table = *it->second;
    return false;
  }
  if (tables_.size() >= kTablesMax) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the cluster has its ", kTablesMax, " tables; drop one first"));
  }
  table->set_id(static_cast<TableId>(ids_.Take()));
  table->set_version(1);
  if (wanted.seed() == 0) wanted.set_seed(Mix64(seed_base_ + table->id()) | 1);
  *table->mutable_spec() = std::move(wanted);
  tables_[table->spec().name()] = std::make_unique<v1::Table>(*table);
  Store(*table);
  return true;
}

absl::StatusOr<v1::Table*> Catalogue::Find(absl::string_view name) const {
  PARAMO_RETURN_IF_ERROR(ValidateName("table name", name));
  auto it = tables_.find(std::string(name.data(), name.size()));
  if (it != tables_.end()) return it->second.get();
  return absl::NotFoundError(
      absl::StrCat("no table is named ", name, "; create it first"));
}

absl::Status Catalogue::Describe(absl::string_view name,
                                 v1::Table* table) const {
  PARAMO_ASSIGN_OR_RETURN(v1::Table * found, Find(name));
  *table = *found;
  return absl::OkStatus();
}

absl::Status Catalogue::Alter(const v1::AlterTableRequest& request,
                              v1::Table* table) {
  PARAMO_ASSIGN_OR_RETURN(v1::Table * found, Find(request.name()));
  if (!request.has_rule() && !request.has_non_finite() &&
      !request.has_clipping() && !request.has_schedule() &&
      !request.has_staleness_scaling() && !request.has_delay_compensation() &&
      !request.has_memory_budget()) {
    return absl::InvalidArgumentError(
        "nothing to alter: set rule, non_finite, clipping, schedule, "
        "staleness_scaling, delay_compensation or memory_budget");
  }
  v1::TableSpec spec = found->spec();
  if (request.has_rule()) {
    PARAMO_ASSIGN_OR_RETURN(std::string slots_now,
                            NormaliseRule(check_, spec.mutable_rule()));
    *spec.mutable_rule() = request.rule();
    PARAMO_ASSIGN_OR_RETURN(std::string slots,
                            NormaliseRule(check_, spec.mutable_rule()));
    if (slots != slots_now) {
      return absl::FailedPreconditionError(absl::StrCat(
          "rule ", spec.rule().name(), " keeps these slots in a row: ", slots,
          "; the rows of ", request.name(), " have: ", slots_now,
          ". Rows cannot change their layout; create another table"));
    }
  }
  if (request.has_non_finite()) {
    PARAMO_RETURN_IF_ERROR(ValidateNonFinite(request.non_finite()));
    *spec.mutable_non_finite() = request.non_finite();
  }
  if (request.has_clipping()) *spec.mutable_clipping() = request.clipping();
  if (request.has_schedule()) *spec.mutable_schedule() = request.schedule();
  if (request.has_staleness_scaling()) {
    spec.set_staleness_scaling(request.staleness_scaling());
  }
  if (request.has_delay_compensation()) {
    spec.set_delay_compensation(request.delay_compensation());
  }
  if (request.has_memory_budget()) {
    spec.set_memory_budget(request.memory_budget());
  }
  PARAMO_RETURN_IF_ERROR(ValidateGradientOptions(spec));
  if (!DescribeDifference(found->spec(), spec).empty()) {
    *found->mutable_spec() = std::move(spec);
    found->set_version(found->version() + 1);
    Store(*found);
  }
  *table = *found;
  return absl::OkStatus();
}

absl::Status Catalogue::Drop(absl::string_view name, TableId id) {
  const absl::StatusOr<v1::Table*> found = Find(name);
  const bool meant = found.ok() && (id == 0 || (*found)->id() == id);
  if (!meant && (found.ok() || absl::IsNotFound(found.status()))) {
    if (id != 0 && id <= ids_.last()) return absl::OkStatus();
    return absl::NotFoundError(absl::StrCat("there is no table ", name));
  }
  PARAMO_RETURN_IF_ERROR(found.status());
  std::string key = (*found)->spec().name();
  tables_.erase(key);
  changes_.Delete(KeyOf(key));
  changes_.MarkStateChanged();
  return absl::OkStatus();
}

void Catalogue::Store(const v1::Table& table) {
  changes_.Put(KeyOf(table.spec().name()), table.SerializeAsString());
  changes_.MarkStateChanged();
}

void Catalogue::FillState(v1::ClusterState* state) const {
  for (const auto& [name, table] : tables_) *state->add_tables() = *table;
  state->set_newest_table(static_cast<TableId>(ids_.last()));
}

void Catalogue::FillList(v1::ListTablesReply* reply) const {
  for (const auto& [name, table] : tables_) *reply->add_tables() = *table;
}

}  // namespace paramo
