// A bench of `paramo bench`. To add one: a file like wire.cc, its function
// below, its line in bench_main.cc.
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "common/config/config.h"
#include "tests/bench/lab.h"
#include "tests/bench/plan.h"

namespace paramo::bench {

class Bench {
 public:
  virtual ~Bench() = default;
  // Its own flags, beside those that all benches have.
  virtual void Declare(Config&) {}
  // Starts what it measures and says what is compared. `smoke`: so little that
  // it takes a second, to see that it works.
  virtual absl::Status Prepare(Lab& lab, Plan& plan, bool smoke) = 0;
};

std::unique_ptr<Bench> MakeFloors();
std::unique_ptr<Bench> MakeWire();
std::unique_ptr<Bench> MakeRowsBench();
std::unique_ptr<Bench> MakeLatency();
std::unique_ptr<Bench> MakeOverload();
std::unique_ptr<Bench> MakeStore();
std::unique_ptr<Bench> MakeScale();

}  // namespace paramo::bench
