// Time as an argument: production code asks a Clock, tests turn its hands.
#pragma once

#include <atomic>
#include <cstdint>

#include "absl/time/time.h"

namespace paramo {

// Steady time since an arbitrary start. Threads: any.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Duration Now() const = 0;
};

// CLOCK_MONOTONIC.
class SteadyClock final : public Clock {
 public:
  absl::Duration Now() const override;
};

// Stands still until told to move.
class FakeClock final : public Clock {
 public:
  absl::Duration Now() const override {
    return absl::Nanoseconds(ns_.load(std::memory_order_acquire));
  }
  void Advance(absl::Duration by) {
    ns_.fetch_add(absl::ToInt64Nanoseconds(by), std::memory_order_acq_rel);
  }

 private:
  std::atomic<int64_t> ns_{0};
};

}  // namespace paramo
