// What a pull costs through the C++ client; pull_bench.py is the same in
// Python.
//
//   PARAMO_ADDRESS=... pull_bench ROWS DIM CALLS
#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <vector>

#include "paramo/cluster.h"

namespace {

double Seconds(clockid_t clock) {
  timespec now;
  ::clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * now.tv_nsec;
}

int Fail(const paramo::Status& status) {
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return std::fprintf(stderr, "pull_bench ROWS DIM CALLS\n"), 2;
  const size_t rows = std::strtoul(argv[1], nullptr, 10);
  const uint32_t dim = std::strtoul(argv[2], nullptr, 10);
  const int calls = std::atoi(argv[3]);
  auto cluster = paramo::Cluster::Connect();
  if (!cluster.ok()) return Fail(cluster.status());
  paramo::TableSpec spec;
  spec.name = "bench" + std::to_string(dim);
  spec.dim = dim;
  spec.seed = 1;
  auto table = (*cluster)->CreateTable(spec);
  if (!table.ok()) return Fail(table.status());
  std::vector<uint64_t> keys(rows);
  std::iota(keys.begin(), keys.end(), 0);
  std::vector<float> values(rows * dim);
  if (auto ack = table->Push(keys, values); !ack.ok())
    return Fail(ack.status());
  const double cpu = Seconds(CLOCK_PROCESS_CPUTIME_ID);
  const double wall = Seconds(CLOCK_MONOTONIC);
  for (int i = 0; i < calls; ++i) {
    if (auto status = table->Pull(keys, values); !status.ok()) {
      return Fail(status);
    }
  }
  std::printf("C++    %zu x %u: %.1f us per call, %.1f us of CPU\n", rows, dim,
              1e6 * (Seconds(CLOCK_MONOTONIC) - wall) / calls,
              1e6 * (Seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) / calls);
  return 0;
}
