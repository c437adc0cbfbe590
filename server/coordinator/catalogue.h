// The tables of the cluster. A pure state machine: requests in, tables and
// changes out; no threads, clock or disk.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/ids.h"
#include "server/coordinator/changes.h"
#include "server/coordinator/table_spec.h"

namespace paramo {
namespace v1 {
class AlterTableRequest;
class ClusterState;
class ListTablesReply;
class Table;
class TableSpec;
}  // namespace v1

// Invariants: (1) a table id is given once, also after a drop; (2) a table's
// version grows by one with every alter that changes something; (3) specs are
// normalised (table_spec.h).
class Catalogue {
 public:
  // `seed_base` makes the seeds of tables that ask for none differ between
  // clusters.
  Catalogue(uint64_t seed_base, RuleCheck check, Changes& changes);
  ~Catalogue();

  absl::Status LoadTable(absl::string_view value);
  IdCounter& ids() { return ids_; }

  // Fills `table` and returns whether it was made just now.
  // Errors: INVALID_ARGUMENT    the field and its range
  //         ALREADY_EXISTS      same name, other spec, with the difference
  //         RESOURCE_EXHAUSTED  kTablesMax
  absl::StatusOr<bool> Create(const v1::TableSpec& spec, v1::Table* table);

  // Errors: NOT_FOUND
  absl::Status Describe(absl::string_view name, v1::Table* table) const;

  // Errors: NOT_FOUND; INVALID_ARGUMENT  nothing to change, or a bad value
  //         FAILED_PRECONDITION  the rule keeps other slots in a row
  absl::Status Alter(const v1::AlterTableRequest& request, v1::Table* table);

  // `id`: of the table that is meant, 0 = whichever has the name. One that was
  // there and is no more is dropped: this may be said again.
  // Errors: NOT_FOUND  nor was there one
  absl::Status Drop(absl::string_view name, TableId id = 0);

  void FillState(v1::ClusterState* state) const;
  void FillList(v1::ListTablesReply* reply) const;  // in order of name

 private:
  absl::StatusOr<v1::Table*> Find(absl::string_view name) const;
  void Store(const v1::Table& table);

  const uint64_t seed_base_;
  const RuleCheck check_;
  Changes& changes_;
  IdCounter ids_;
  std::map<std::string, std::unique_ptr<v1::Table>, std::less<>> tables_;
};

}  // namespace paramo
