// paramo-sim: many seeds of the simulation, until one breaks.
//
//   paramo-sim --seeds 200            seeds 1 .. 200
//   paramo-sim --first 17 --trace     one seed, and what happened in it
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "tests/sim/sim.h"

namespace paramo::sim {
namespace {

struct Flags {
  uint64_t first = 1;
  uint64_t seeds = 1;
  bool trace = false;
};

Flags Parse(int argc, char** argv) {
  Flags flags;
  for (int i = 1; i < argc; ++i) {
    const bool has_value = i + 1 < argc;
    if (std::strcmp(argv[i], "--trace") == 0) {
      flags.trace = true;
    } else if (std::strcmp(argv[i], "--seeds") == 0 && has_value) {
      flags.seeds = std::strtoull(argv[++i], nullptr, 10);
    } else if (std::strcmp(argv[i], "--first") == 0 && has_value) {
      flags.first = std::strtoull(argv[++i], nullptr, 10);
    } else {
      std::fprintf(stderr, "paramo-sim [--first N] [--seeds N] [--trace]\n");
      std::exit(2);
    }
  }
  return flags;
}

void Print(const char* title, const std::map<std::string, uint64_t>& counts) {
  std::printf("%s\n", title);
  for (const auto& [name, count] : counts) {
    std::printf("  %12llu  %s\n", static_cast<unsigned long long>(count),
                name.c_str());
  }
}

int Main(int argc, char** argv) {
  const Flags flags = Parse(argc, argv);
  Result all;
  int failed = 0;
  for (uint64_t i = 0; i < flags.seeds; ++i) {
    Options options;
    options.seed = flags.first + i;
    options.trace = flags.trace;
    const Result result = Run(options);
    for (const auto& [name, n] : result.faults) all.faults[name] += n;
    for (const auto& [name, n] : result.progress) all.progress[name] += n;
    all.healed_after = std::max(all.healed_after, result.healed_after);
    if (result.violations.empty()) continue;
    ++failed;
    for (const std::string& violation : result.violations) {
      std::printf("seed %llu: %s\n",
                  static_cast<unsigned long long>(options.seed),
                  violation.c_str());
    }
    if (failed == 10) break;
  }
  Print("faults injected", all.faults);
  Print("progress", all.progress);
  std::printf(
      "%llu faults; slowest healing %.1f s; %.1f s of CPU; %d seeds failed\n",
      static_cast<unsigned long long>(all.fault_count()),
      static_cast<double>(all.healed_after) / kSecond,
      static_cast<double>(std::clock()) / CLOCKS_PER_SEC, failed);
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace paramo::sim

int main(int argc, char** argv) { return paramo::sim::Main(argc, argv); }
