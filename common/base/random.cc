#include "common/base/random.h"

#include <sys/random.h>

#include "common/base/check.h"

namespace paramo {

uint64_t MakeRandomId() {
  uint64_t id = 0;
  while (id == 0) {
    PARAMO_CHECK(getrandom(&id, sizeof(id), 0) == sizeof(id));
  }
  return id;
}

}  // namespace paramo
