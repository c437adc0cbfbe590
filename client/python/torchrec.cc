#include "client/python/torchrec.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "paramo/cluster.h"

namespace paramo {
namespace {

// A row that was pushed ends with this mark: a row that was not is all zeros,
// and a pull cannot tell otherwise.
constexpr float kThere = 1;

void Complain(const char* what, const Status& status) {
  std::fprintf(stderr, "paramo: torchrec's %s: %s\n", what,
               status.ToString().c_str());
}

// Of one column and one state of a table of torchrec's.
std::string TableName(const char* table, int64_t column, uint32_t state) {
  return std::string(table) + ".c" + std::to_string(column) + ".s" +
         std::to_string(state);
}

// A connection, and the tables that it has opened. Threads: any.
class Io {
 public:
  explicit Io(std::unique_ptr<Cluster> cluster)
      : cluster_(std::move(cluster)) {}

  // `floats` of a row without its mark; 0 opens only.
  Result<Table> Open(const std::string& name, uint32_t floats) {
    std::lock_guard<std::mutex> lock(mu_);
    const auto known = tables_.find(name);
    if (known != tables_.end()) return known->second;
    TableSpec spec;
    spec.name = name;
    spec.dim = floats + 1;
    spec.rule = {"sgd", {{"lr", 1}}};
    spec.seed = 1;
    auto table =
        floats == 0 ? cluster_->OpenTable(name) : cluster_->CreateTable(spec);
    if (table.ok()) tables_.emplace(name, *table);
    return table;
  }

 private:
  const std::unique_ptr<Cluster> cluster_;
  std::mutex mu_;
  std::map<std::string, Table> tables_;
};

std::vector<uint64_t> Keys(const int64_t* ids, uint32_t count) {
  return {ids, ids + count};
}

// Sets rows to values. A push adds to a row, so it takes the difference.
Status Store(const Table& table, std::span<const uint64_t> keys,
             std::span<const float> values) {
  std::vector<float> difference(values.size());
  if (Status status = table.Pull(keys, difference); !status.ok()) return status;
  for (size_t i = 0; i < values.size(); ++i) difference[i] -= values[i];
  return table.Push(keys, difference).status();
}

// ---- Pull -------------------------------------------------------------------

Status PullState(Io& io, const IOPullParameter& cfg, uint32_t column,
                 uint32_t state) {
  const int64_t column_id = cfg.num_cols == 0 ? -1 : cfg.col_ids[column];
  auto table = io.Open(TableName(cfg.table_name, column_id, state), 0);
  if (!table.ok()) {  // nothing was pushed yet
    return table.status().code() == Code::kNotFound ? Status() : table.status();
  }
  const uint32_t dim = table->dim();
  const std::vector<uint64_t> keys = Keys(cfg.global_ids, cfg.num_global_ids);
  std::vector<float> rows(keys.size() * dim);
  if (Status status = table->Pull(keys, rows); !status.ok()) return status;
  const uint32_t columns = cfg.num_cols == 0 ? 1 : cfg.num_cols;
  for (uint32_t i = 0; i < cfg.num_global_ids; ++i) {
    float* row = rows.data() + size_t{i} * dim;
    if (row[dim - 1] != kThere) continue;
    cfg.on_global_id_fetched(cfg.on_complete_context, i * columns + column,
                             state, row, (dim - 1) * sizeof(float));
  }
  return Status();
}

// ---- Push -------------------------------------------------------------------

// The rows of one column and state, each with its mark. All have one width.
Status Collect(const IOPushParameter& cfg, uint32_t column, uint32_t state,
               std::vector<float>& rows) {
  const uint32_t columns = cfg.num_cols == 0 ? 1 : cfg.num_cols;
  uint64_t width = 0;
  for (uint32_t i = 0; i < cfg.num_global_ids; ++i) {
    const size_t at =
        (size_t{i} * columns + column) * cfg.num_optimizer_states + state;
    if (at + 1 >= cfg.num_offsets) {
      return Status(Code::kInvalidArgument, "there are too few offsets");
    }
    const uint64_t bytes = cfg.offsets[at + 1] - cfg.offsets[at];
    if (i == 0) width = bytes;
    if (bytes != width || bytes == 0 || bytes % sizeof(float) != 0) {
      return Status(Code::kInvalidArgument,
                    "rows are of float32, all of one width");
    }
    const size_t begin = rows.size();
    rows.resize(begin + bytes / sizeof(float));
    std::memcpy(rows.data() + begin,
                static_cast<const char*>(cfg.data) + cfg.offsets[at], bytes);
    rows.push_back(kThere);
  }
  return Status();
}

Status PushState(Io& io, const IOPushParameter& cfg, uint32_t column,
                 uint32_t state) {
  std::vector<float> rows;
  if (Status status = Collect(cfg, column, state, rows); !status.ok()) {
    return status;
  }
  if (rows.empty()) return Status();
  const int64_t column_id = cfg.num_cols == 0 ? -1 : cfg.col_ids[column];
  auto table = io.Open(
      TableName(cfg.table_name, column_id, cfg.optimizer_state_ids[state]),
      rows.size() / cfg.num_global_ids - 1);
  if (!table.ok()) return table.status();
  return Store(*table, Keys(cfg.global_ids, cfg.num_global_ids), rows);
}

// Calls `each` for every column and state; complains of the first failure.
template <typename Parameter, typename Each>
void ForAll(const char* what, const Parameter& cfg, Each each) {
  for (uint32_t column = 0; column < std::max(cfg.num_cols, 1u); ++column) {
    for (uint32_t state = 0; state < cfg.num_optimizer_states; ++state) {
      const Status status = each(column, state);
      if (!status.ok()) return Complain(what, status);
    }
  }
}

}  // namespace
}  // namespace paramo

#define PARAMO_EXPORT __attribute__((visibility("default")))

extern "C" {

PARAMO_EXPORT const char* IO_type = "paramo";

PARAMO_EXPORT void* IO_Initialize(const char* cfg) {
  paramo::ConnectOptions options;
  options.addresses = cfg;
  auto cluster = paramo::Cluster::Connect(options);
  if (cluster.ok()) return new paramo::Io(*std::move(cluster));
  paramo::Complain("IO_Initialize", cluster.status());
  return nullptr;
}

PARAMO_EXPORT void IO_Finalize(void* instance) {
  delete static_cast<paramo::Io*>(instance);
}

PARAMO_EXPORT void IO_Pull(void* instance, IOPullParameter cfg) {
  paramo::ForAll("IO_Pull", cfg, [&](uint32_t column, uint32_t state) {
    return paramo::PullState(*static_cast<paramo::Io*>(instance), cfg, column,
                             state);
  });
  cfg.on_all_fetched(cfg.on_complete_context);
}

PARAMO_EXPORT void IO_Push(void* instance, IOPushParameter cfg) {
  paramo::ForAll("IO_Push", cfg, [&](uint32_t column, uint32_t state) {
    return paramo::PushState(*static_cast<paramo::Io*>(instance), cfg, column,
                             state);
  });
  cfg.on_push_complete(cfg.on_complete_context);
}
}
