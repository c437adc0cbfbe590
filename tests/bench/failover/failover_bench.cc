// How long a client feels the death of a server that holds so many rows, or
// something planned: fills a table, keeps pushing small batches that touch
// every shard, kills the server with SIGKILL or runs a command, and tells how
// long the longest push took before and from then on.
//
// The cluster's processes are started by hand (README.md, "Binaries"); then
//   failover_bench --address 127.0.0.1:7700 --pid PID --megabytes 1000
//   failover_bench --address 127.0.0.1:7700 --run "paramo server drain 2"
#include <signal.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <future>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "common/config/config.h"
#include "paramo/cluster.h"

namespace paramo {
namespace {

struct Options {
  std::vector<std::string> address;
  int pid = 0;
  std::string run;
  int megabytes = 10;
  absl::Duration time = absl::Seconds(5);
};

constexpr uint32_t kDim = 64;
constexpr size_t kBatchRows = 4096;
// Four for each of 64 shards.
constexpr size_t kProbeRows = 256;

void Check(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::exit(1);
}

// Keys 0, 1, ..., so many that their values alone are that large.
size_t Fill(Table& table, int megabytes) {
  const size_t rows = (size_t{1} << 20) * megabytes / (kDim * sizeof(float));
  std::vector<uint64_t> keys(kBatchRows);
  const std::vector<float> ones(kBatchRows * kDim, 1.0f);
  for (size_t first = 0; first < rows; first += kBatchRows) {
    for (size_t i = 0; i < kBatchRows; ++i) keys[i] = first + i;
    Check(table.Push(keys, ones).status());
  }
  return rows;
}

// The longest push, and how long after the first it began.
struct Longest {
  absl::Duration push;
  absl::Duration at;
};

// Of those made within that time and until `ended`.
Longest LongestPush(
    Table& table, absl::Duration time,
    const std::function<bool()>& ended = [] { return true; }) {
  std::vector<uint64_t> keys(kProbeRows);
  for (size_t i = 0; i < kProbeRows; ++i) keys[i] = i;
  const std::vector<float> ones(kProbeRows * kDim, 1.0f);
  Longest longest;
  const absl::Time first = absl::Now();
  while (absl::Now() < first + time || !ended()) {
    const absl::Time start = absl::Now();
    Check(table.Push(keys, ones).status());
    const absl::Duration took = absl::Now() - start;
    if (took > longest.push) longest = {took, start - first};
  }
  return longest;
}

Longest LongestPushWhile(Table& table, const Options& options) {
  if (options.run.empty()) {
    if (::kill(options.pid, SIGKILL) != 0) {
      std::perror("kill");
      std::exit(1);
    }
    return LongestPush(table, options.time);
  }
  std::future<int> status = std::async(
      std::launch::async, [&] { return std::system(options.run.c_str()); });
  const Longest longest = LongestPush(table, options.time, [&] {
    return status.wait_for(std::chrono::seconds(0)) ==
           std::future_status::ready;
  });
  if (status.get() != 0) {
    std::fprintf(stderr, "failed: %s\n", options.run.c_str());
    std::exit(1);
  }
  return longest;
}

int Main(int argc, char** argv) {
  Options options;
  Config config("failover_bench", "how long a dead server is felt");
  config.Addresses("address", options.address, "the coordinator");
  config.Int("pid", options.pid, {0, 1 << 30}, "the server to kill");
  config.Text("run", options.run, "a command instead of that");
  config.Int("megabytes", options.megabytes, {1, 1 << 20}, "of rows, in all");
  config.Duration("time", options.time, {}, "to push, before and after");
  config.Check([&] {
    return (options.pid == 0) == !options.run.empty()
               ? absl::OkStatus()
               : absl::InvalidArgumentError("give --pid or --run");
  });
  if (auto status = config.ParseMain(argc, argv)) return *status;
  ConnectOptions connect;
  for (const std::string& address : options.address) {
    connect.addresses += (connect.addresses.empty() ? "" : ",") + address;
  }
  auto cluster = Cluster::Connect(connect);
  Check(cluster.status());
  TableSpec spec;
  spec.name = "failover_bench";
  spec.dim = kDim;
  auto table = (*cluster)->CreateTable(spec);
  Check(table.status());
  const size_t rows = Fill(*table, options.megabytes);
  const Longest before = LongestPush(*table, options.time);
  const Longest after = LongestPushWhile(*table, options);
  std::printf(
      "%d MB in %zu rows: longest push %.0f ms before, %.0f ms after (%.1f "
      "s)\n",
      options.megabytes, rows, absl::ToDoubleMilliseconds(before.push),
      absl::ToDoubleMilliseconds(after.push), absl::ToDoubleSeconds(after.at));
  return 0;
}

}  // namespace
}  // namespace paramo

int main(int argc, char** argv) { return paramo::Main(argc, argv); }
