// The negative controls: each seeded bug must break an invariant within its
// number of seeds. A checker that has never failed proves nothing.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/sim/sim.h"

namespace paramo::sim {

struct Control {
  const char* name;
  void (*plant)(Bugs&);
  uint64_t seeds_max;
};

const std::vector<Control>& Controls();

}  // namespace paramo::sim
