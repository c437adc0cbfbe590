// Virtual time, randomness, and what happens when.
#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <random>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "tests/sim/sim.h"

namespace paramo::sim {

class Loop {
 public:
  explicit Loop(uint64_t seed) : random_(seed) {}

  Micros now() const { return now_; }
  absl::Duration time() const { return absl::Microseconds(now_); }

  void At(Micros when, std::function<void()> run) {
    events_.push({when < now_ ? now_ : when, next_++, std::move(run)});
  }
  void After(Micros delay, std::function<void()> run) {
    At(now_ + delay, std::move(run));
  }

  // Runs one event; false when it lies behind `end`.
  bool Step(Micros end) {
    if (events_.empty() || events_.top().when > end) return false;
    Event event = std::move(const_cast<Event&>(events_.top()));
    events_.pop();
    now_ = event.when;
    event.run();
    return true;
  }

  // Uniform in [low, high].
  int64_t Between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random_() %
                                      static_cast<uint64_t>(high - low + 1));
  }
  bool Chance(double p) {
    return static_cast<double>(random_() >> 11) * 0x1p-53 < p;
  }

 private:
  struct Event {
    Micros when;
    uint64_t order;
    std::function<void()> run;
    bool operator<(const Event& other) const {
      return std::pair(other.when, other.order) < std::pair(when, order);
    }
  };

  Micros now_ = 0;
  uint64_t next_ = 0;
  std::priority_queue<Event> events_;
  std::mt19937_64 random_;
};

}  // namespace paramo::sim
