#include "common/strand/strand.h"

#include "common/base/check.h"

namespace paramo {

Strand::~Strand() { PARAMO_CHECK(head_.load(std::memory_order_acquire) == 0); }

void Strand::Post(StrandTask* task) {
  uintptr_t head = head_.load(std::memory_order_relaxed);
  for (;;) {
    if (head == 0) {
      if (head_.compare_exchange_weak(head, kRunning,
                                      std::memory_order_acquire)) {
        break;  // we are the runner
      }
      continue;
    }
    task->next_ =
        head == kRunning ? nullptr : reinterpret_cast<StrandTask*>(head);
    if (head_.compare_exchange_weak(head, reinterpret_cast<uintptr_t>(task),
                                    std::memory_order_release,
                                    std::memory_order_relaxed)) {
      return;
    }
  }

  task->run_(task);
  for (;;) {
    uintptr_t expected = kRunning;
    if (head_.compare_exchange_strong(expected, 0, std::memory_order_release,
                                      std::memory_order_relaxed)) {
      return;
    }
    // Take all that was posted, newest first, and turn it round.
    uintptr_t taken = head_.exchange(kRunning, std::memory_order_acquire);
    StrandTask* first = nullptr;
    for (StrandTask* t = reinterpret_cast<StrandTask*>(taken); t != nullptr;) {
      StrandTask* next = t->next_;
      t->next_ = first;
      first = t;
      t = next;
    }
    while (first != nullptr) {
      StrandTask* next = first->next_;  // the task may delete itself
      first->run_(first);
      first = next;
    }
  }
}

}  // namespace paramo
