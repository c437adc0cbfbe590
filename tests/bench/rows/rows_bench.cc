// Sparse rows through the whole path: pushes and pulls of random keys from the
// C++ client to a running cluster, rows per second of wall time.
//
//   paramo dev --servers 1 &      then, with PARAMO_ADDRESS set:
//   rows_bench --rows 1024 --dim 64 --rule adagrad
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <vector>

#include "absl/time/clock.h"
#include "common/base/random.h"
#include "common/config/config.h"
#include "paramo/cluster.h"

namespace paramo {
namespace {

struct Options {
  std::vector<std::string> address;
  int rows = 1024;
  int dim = 64;
  std::string rule = "adagrad";
  int64_t table_rows = 1'000'000;
  int in_flight = 4;
  int threads = 1;
  absl::Duration time = absl::Seconds(3);
  bool unlogged = false;
  bool push_only = false;
};

// Keys and values of requests, made up front: the bench is of the system.
struct Batch {
  std::vector<uint64_t> keys;
  std::vector<float> values;
};

std::vector<Batch> MakeBatches(const Options& options) {
  BitGen gen(7);
  std::vector<Batch> batches(64);
  for (Batch& batch : batches) {
    for (int i = 0; i < options.rows; ++i) {
      batch.keys.push_back(gen.Below(options.table_rows));
    }
    for (int i = 0; i < options.rows * options.dim; ++i) {
      batch.values.push_back(static_cast<float>(gen.Uniform() - 0.5));
    }
  }
  return batches;
}

// A request that failed makes every figure worthless: say so and stop.
void Check(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::exit(1);
}
void Check(const Result<PushAck>& ack) { Check(ack.status()); }

// Keeps `in_flight` requests going until the time is up; rows per second.
template <typename Send>
double Run(const Options& options, Send send) {
  using Pending = decltype(send(0));
  std::deque<Pending> pending;
  absl::Time start = absl::Now();
  size_t done = 0;
  size_t sent = 0;
  while (absl::Now() - start < options.time) {
    while (pending.size() < static_cast<size_t>(options.in_flight)) {
      pending.push_back(send(sent++));
    }
    Check(pending.front().get());
    pending.pop_front();
    ++done;
  }
  double seconds = absl::ToDoubleSeconds(absl::Now() - start);
  for (Pending& rest : pending) Check(rest.get());
  return static_cast<double>(done) * options.rows / seconds;
}

int Main(int argc, char** argv) {
  Options options;
  Config config("rows_bench", "rows per second through the whole path");
  config.Addresses("address", options.address, "the cluster");
  config.Int("rows", options.rows, {1, 1 << 20}, "keys of one request");
  config.Int("dim", options.dim, {1, 65536}, "floats of a row");
  config.Text("rule", options.rule, "update rule");
  config.Int("table-rows", options.table_rows, {1}, "keys drawn from");
  config.Int("in-flight", options.in_flight, {1, 256}, "requests at a time");
  config.Int("threads", options.threads, {1, 64}, "client threads");
  config.Duration("time", options.time, {}, "of each of the two runs");
  config.Switch("unlogged", options.unlogged,
                "of the table: durability replicated instead of logged");
  config.Switch("push-only", options.push_only, "no pulls");
  if (auto status = config.ParseMain(argc, argv)) return *status;

  ConnectOptions connect;
  for (const std::string& address : options.address) {
    connect.addresses += (connect.addresses.empty() ? "" : ",") + address;
  }
  connect.threads = options.threads;
  auto cluster = Cluster::Connect(connect);
  if (!cluster.ok()) {
    std::fprintf(stderr, "%s\n", cluster.status().ToString().c_str());
    return 1;
  }
  TableSpec spec;
  spec.name = "rows_bench-" + options.rule + "-" + std::to_string(options.dim);
  spec.dim = static_cast<uint32_t>(options.dim);
  spec.rule.name = options.rule;
  if (options.unlogged) {
    spec.name += "-unlogged";
    spec.durability = Durability::kReplicated;
  }
  auto table = (*cluster)->CreateTable(spec);
  if (!table.ok()) {
    std::fprintf(stderr, "%s\n", table.status().ToString().c_str());
    return 1;
  }
  std::vector<Batch> batches = MakeBatches(options);
  for (int run = 0; run < 3; ++run) {
    double push = Run(options, [&](size_t i) {
      const Batch& batch = batches[i % batches.size()];
      return table->PushAsync(batch.keys, batch.values);
    });
    if (options.push_only) {
      std::printf("push %.2f M rows/s\n", push / 1e6);
      std::fflush(stdout);
      continue;
    }
    std::vector<std::vector<float>> rows(
        options.in_flight, std::vector<float>(options.rows * options.dim));
    double pull = Run(options, [&](size_t i) {
      return table->PullAsync(batches[i % batches.size()].keys,
                              rows[i % rows.size()]);
    });
    std::printf("push %.2f M rows/s   pull %.2f M rows/s\n", push / 1e6,
                pull / 1e6);
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace paramo

int main(int argc, char** argv) { return paramo::Main(argc, argv); }
