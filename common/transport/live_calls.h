// Counts the calls whose gRPC objects exist. A completion queue may be shut
// down only when there are none: no operation can be started on it any more.
#pragma once

#include "common/base/mutex.h"

namespace paramo {

class LiveCalls {
 public:
  // One live call, for as long as it exists.
  class Token {
   public:
    explicit Token(LiveCalls& calls) : calls_(calls) { calls_.Add(1); }
    ~Token() { calls_.Add(-1); }
    Token(const Token&) = delete;
    Token& operator=(const Token&) = delete;

   private:
    LiveCalls& calls_;
  };

  void WaitForNone() {
    MutexLock lock(mu_);
    while (count_ > 0) none_.Wait(mu_);
  }

 private:
  void Add(int n) {
    MutexLock lock(mu_);
    count_ += n;
    if (count_ == 0) none_.NotifyAll();
  }

  Mutex mu_;
  CondVar none_;
  int count_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace paramo
