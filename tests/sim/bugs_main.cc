// paramo-sim-bugs: runs the negative controls (controls.h).
//
//   paramo-sim-bugs                          all of them
//   paramo-sim-bugs NAME [FIRST [SEEDS]]     one, from a seed on; traced when
//                                            SEEDS is 1
//   paramo-sim-bugs none FIRST SEEDS         this build without a bug
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/sim/controls.h"

namespace paramo::sim {
namespace {

bool Catch(const Control& control, uint64_t first, uint64_t seeds) {
  for (uint64_t i = 0; i < seeds; ++i) {
    Options options;
    options.seed = first + i;
    options.trace = seeds == 1;
    control.plant(options.bugs);
    const Result result = Run(options);
    if (result.violations.empty()) continue;
    std::printf("caught   %-45s seed %3llu: %s\n", control.name,
                static_cast<unsigned long long>(options.seed),
                result.violations[0].c_str());
    return true;
  }
  std::printf("MISSED   %-45s in %llu seeds\n", control.name,
              static_cast<unsigned long long>(seeds));
  return false;
}

int Main(int argc, char** argv) {
  int missed = 0;
  const auto number = [&](int i, uint64_t otherwise) {
    return argc > i ? std::strtoull(argv[i], nullptr, 10) : otherwise;
  };
  const Control none = {"none", [](Bugs&) {}, 0};
  if (argc > 1 && argv[1] == std::string(none.name)) {
    return Catch(none, number(2, 1), number(3, 1)) ? 1 : 0;
  }
  for (const Control& control : Controls()) {
    if (argc > 1 && argv[1] != std::string(control.name)) continue;
    missed += !Catch(control, number(2, 1), number(3, control.seeds_max));
    std::fflush(stdout);
  }
  return missed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace paramo::sim

int main(int argc, char** argv) { return paramo::sim::Main(argc, argv); }
