// Pushes and pulls of Paramo's client as a load, and as a subject.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/config/config.h"
#include "paramo/cluster.h"
#include "tests/bench/drive.h"
#include "tests/bench/lab.h"

namespace paramo::bench {

enum class Keys { kUniform, kZipf };

// Requests of `rows` keys to a table that has all of `table_rows` rows.
struct RowsSpec {
  int rows = 1024;
  uint32_t dim = 64;
  std::string rule = "adagrad";
  Durability durability = Durability::kLogged;
  uint64_t table_rows = 1'000'000;
  Keys keys = Keys::kUniform;
  std::string codec = "f32";
  // Requests made up front. More where rows are not all in memory: what is
  // asked again and again must not be what fits.
  size_t batches = 64;
  double budget_part = 0;  // of the table's rows in memory; 0: all
  // Whether requests come again with the same keys. Those that do not differ
  // each from all before it, as do the batches of a data set.
  bool repeat_keys = false;
};

// Flags of a bench that asks for rows of one kind: --rows, --dim and --rule.
void DeclareRows(Config& config, int rows_max, RowsSpec& spec);

// What is asked, with the buffers for it. Shared by the subjects that ask it.
class Asked;

// A table, or a tensor of `bytes` under sgd whose pushes do not wait for the
// log; made, and every row of it pushed to once.
absl::StatusOr<std::shared_ptr<Asked>> MakeRows(BenchCluster& cluster,
                                                const RowsSpec& spec,
                                                int in_flight);
// The same table from another client, which must outlive what is returned.
absl::StatusOr<std::shared_ptr<Asked>> OpenRows(Cluster& client,
                                                const RowsSpec& spec,
                                                int in_flight);
absl::StatusOr<std::shared_ptr<Asked>> MakeTensor(BenchCluster& cluster,
                                                  size_t bytes, int in_flight);

enum class Call { kPush, kPull };

// One run of it.
absl::StatusOr<Sample> DriveCalls(Asked& asked, Call call, const Load& load,
                                  const std::function<double()>& cpu_seconds);

// A case, and what its floor must do for each of its calls: as many messages
// of the same size in all, both ways, as the client counted.
struct Case {
  Subject subject;
  EchoSizes message;    // of one request and its answer
  double messages = 1;  // that one call makes
  Work work;            // of one message
  int in_flight = 1;    // messages
};
absl::StatusOr<Case> MakeCase(const std::string& name, BenchCluster& cluster,
                              std::shared_ptr<Asked> asked, Call call,
                              const Load& load);

// The floor of `c` over that way.
absl::StatusOr<Subject> FloorOf(const Case& c, Lab& lab, Via via,
                                double rate = 0);

}  // namespace paramo::bench
