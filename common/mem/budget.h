// A bound on the bytes held by requests. Admission asks, destruction gives
// back; nobody waits.
#pragma once

#include <atomic>
#include <cstddef>
#include <utility>

namespace paramo {

class BudgetCharge;

// Threads: any. Outlives its charges.
class Budget {
 public:
  explicit Budget(size_t bytes_max) : bytes_max_(bytes_max) {}

  // False when `bytes` more would exceed the bound; `charge` is then empty.
  bool TryCharge(size_t bytes, BudgetCharge& charge);

  size_t held() const { return held_.load(std::memory_order_relaxed); }
  size_t bytes_max() const { return bytes_max_; }

 private:
  friend class BudgetCharge;
  const size_t bytes_max_;
  std::atomic<size_t> held_{0};  // relaxed: a count, it orders nothing
};

// Gives its bytes back when it goes.
class BudgetCharge {
 public:
  BudgetCharge() = default;
  BudgetCharge(BudgetCharge&& other) noexcept
      : budget_(std::exchange(other.budget_, nullptr)),
        bytes_(std::exchange(other.bytes_, 0)) {}
  BudgetCharge& operator=(BudgetCharge&& other) noexcept {
    std::swap(budget_, other.budget_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~BudgetCharge() {
    if (budget_) budget_->held_.fetch_sub(bytes_, std::memory_order_relaxed);
  }

 private:
  friend class Budget;
  Budget* budget_ = nullptr;
  size_t bytes_ = 0;
};

inline bool Budget::TryCharge(size_t bytes, BudgetCharge& charge) {
  charge = BudgetCharge();
  size_t before = held_.fetch_add(bytes, std::memory_order_relaxed);
  if (bytes > bytes_max_ || before > bytes_max_ - bytes) {
    held_.fetch_sub(bytes, std::memory_order_relaxed);
    return false;
  }
  charge.budget_ = this;
  charge.bytes_ = bytes;
  return true;
}

}  // namespace paramo
