// A table of embeddings, pushed and pulled. Start a cluster with `paramo dev`,
// then: PARAMO_ADDRESS=host:port paramo-example
#include <cstdint>
#include <cstdio>
#include <vector>

#include "paramo/cluster.h"

namespace {

// Prints why a call failed, and ends.
int Fail(const paramo::Status& status) {
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}

}  // namespace

int main() {
  // Finds the cluster at $PARAMO_ADDRESS.
  auto cluster = paramo::Cluster::Connect();
  if (!cluster.ok()) return Fail(cluster.status());

  // Opens the table when it is there already and has the same spec.
  paramo::TableSpec spec;
  spec.name = "example";
  spec.dim = 4;
  spec.rule = {"sgd", {{"lr", 0.5}}};
  spec.seed = 1;
  auto table = (*cluster)->CreateTable(spec);
  if (!table.ok()) return Fail(table.status());

  // Gradients for three keys, in any order; the two for key 7 are summed.
  const std::vector<uint64_t> keys = {42, 7, 7};
  const std::vector<float> grads = {1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3};
  auto ack = table->Push(keys, grads);
  if (!ack.ok()) return Fail(ack.status());
  std::printf("pushed to %u sections, on %u replica(s)\n", ack->applied,
              ack->replicas);

  // Key 99 was never pushed: its row is the initial value.
  const std::vector<uint64_t> wanted = {7, 42, 99};
  std::vector<float> rows(wanted.size() * table->dim());
  if (auto status = table->Pull(wanted, rows); !status.ok()) {
    return Fail(status);
  }
  for (size_t i = 0; i < wanted.size(); ++i) {
    std::printf("row %llu:", static_cast<unsigned long long>(wanted[i]));
    for (uint32_t d = 0; d < table->dim(); ++d) {
      std::printf(" %g", rows[i * table->dim() + d]);
    }
    std::printf("\n");
  }
  return 0;
}
