// A client in a process of its own, for tests that kill it or ask what it
// counted:
//   PARAMO_ADDRESS=host:port pushing_client TABLE DIM PUSHES
// pushes ones to 200 rows, and pulls them, PUSHES times. It prints a line for
// each push that goes ("sent 7") and that was answered ("acked 7"), and at the
// end its statistics and the least and the largest value that it pulled.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <utility>
#include <vector>

#include "paramo/cluster.h"

namespace {

constexpr size_t kKeys = 200;
constexpr size_t kInFlight = 4;  // so that one is on the way at any moment

int Fail(const paramo::Status& status) {
  std::printf("%s\n", status.ToString().c_str());
  return 1;
}

// A push and a pull under way.
struct Flight {
  paramo::Future<paramo::Result<paramo::PushAck>> push;
  paramo::Future<paramo::Status> pull;
  std::vector<float> rows;
};

int Run(const char* name, size_t dim, int pushes) {
  auto cluster = paramo::Cluster::Connect();
  if (!cluster.ok()) return Fail(cluster.status());
  auto table = (*cluster)->OpenTable(name);
  if (!table.ok()) return Fail(table.status());
  std::vector<uint64_t> keys(kKeys);
  for (size_t i = 0; i < kKeys; ++i) keys[i] = i;
  const std::vector<float> ones(kKeys * dim, 1);

  std::deque<Flight> flights;
  int acked = 0;
  for (int sent = 0; sent < pushes || !flights.empty();) {
    if (sent < pushes && flights.size() < kInFlight) {
      std::printf("sent %d\n", ++sent);
      Flight& flight = flights.emplace_back();
      flight.rows.resize(ones.size());
      flight.push = table->PushAsync(keys, ones);
      flight.pull = table->PullAsync(keys, flight.rows);
      continue;
    }
    const auto ack = flights.front().push.get();
    if (!ack.ok()) return Fail(ack.status());
    std::printf("acked %d\n", ++acked);
    const paramo::Status pulled = flights.front().pull.get();
    if (!pulled.ok()) return Fail(pulled);
    flights.pop_front();
  }

  std::vector<float> rows(ones.size());
  if (paramo::Status s = table->Pull(keys, rows); !s.ok()) return Fail(s);
  const auto [least, largest] = std::minmax_element(rows.begin(), rows.end());
  const paramo::ClusterStats stats = (*cluster)->stats();
  std::printf("least %g\nlargest %g\nrequests %llu\nshm_bytes %llu\n", *least,
              *largest, static_cast<unsigned long long>(stats.requests),
              static_cast<unsigned long long>(stats.shm_bytes));
  std::printf("bytes %llu\n", static_cast<unsigned long long>(
                                  stats.bytes_sent + stats.bytes_received));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "use: %s TABLE DIM PUSHES\n", argv[0]);
    return 2;
  }
  // What was printed before a kill must be there.
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  return Run(argv[1], std::strtoul(argv[2], nullptr, 10), std::atoi(argv[3]));
}
