// A Debian package list, plain or gzip. Oracle: an accepted graph has its names
// and edges in order, no edge twice, none from a package to itself.
#include "worker/data/debgraph.h"

#include "common/hash/name_key.h"
#include "tests/fuzz/fuzz_input.h"

namespace paramo {
namespace {

void CheckEdges(const PackageGraph& graph, const std::vector<Edge>& edges) {
  PARAMO_CHECK(!edges.empty());
  for (size_t i = 0; i < edges.size(); ++i) {
    PARAMO_CHECK(edges[i].source < graph.names.size());
    PARAMO_CHECK(edges[i].target < graph.names.size());
    PARAMO_CHECK(edges[i].source != edges[i].target);
    PARAMO_CHECK(i == 0 || edges[i - 1] < edges[i]);
  }
}

void Check(const PackageGraph& graph) {
  PARAMO_CHECK(graph.keys.size() == graph.names.size());
  for (size_t i = 0; i < graph.names.size(); ++i) {
    PARAMO_CHECK(!graph.names[i].empty());
    PARAMO_CHECK(graph.keys[i] == NameKey(graph.names[i]));
    PARAMO_CHECK(i == 0 || graph.names[i - 1] < graph.names[i]);
  }
  CheckEdges(graph, graph.train);
  CheckEdges(graph, graph.held_out);
  for (const Edge& edge : graph.held_out) {
    PARAMO_CHECK(
        !std::binary_search(graph.train.begin(), graph.train.end(), edge));
  }
}

}  // namespace
}  // namespace paramo

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace paramo;
  SetLog(LogLevel::kError, "fuzz");
  const fuzz::MemoryFile file(
      absl::string_view(reinterpret_cast<const char*>(data), size));
  auto graph = ReadPackageGraph(file.path());
  if (graph.ok()) {
    Check(*graph);
  } else {
    PARAMO_CHECK(absl::IsInvalidArgument(graph.status()) ||
                 absl::IsDataLoss(graph.status()) ||
                 absl::IsResourceExhausted(graph.status()));
  }
  return 0;
}
