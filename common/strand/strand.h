// One writer at a time, without locks held: a strand is a queue of tasks and a
// "running" flag. Whichever thread finds it idle drains it, so in the common
// case a task runs inline on the thread that read the request, without a hop.
//
//   thread A: Post(t1) -> idle: becomes the runner, runs t1 ... runs t2, t3
//   thread B:       Post(t2), Post(t3) -> busy: queued, returns at once
//
// Tasks of one strand run one after another, in the order they were posted;
// each sees the effects of those before it. A task never waits for anything:
// what must wait parks itself elsewhere and returns.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace paramo {

// A unit of work, embedded in whatever it works on: posting allocates nothing.
// The task may delete or post itself anew from within `run`.
class StrandTask {
 public:
  using Run = void (*)(StrandTask*);
  explicit StrandTask(Run run) : run_(run) {}

 private:
  friend class Strand;
  Run run_;
  StrandTask* next_ = nullptr;
};

// Threads: Post from any. Must outlive its tasks and be idle when destroyed.
class Strand {
 public:
  Strand() = default;
  ~Strand();
  Strand(const Strand&) = delete;
  Strand& operator=(const Strand&) = delete;

  // Runs `task` now on this thread when the strand is idle (together with
  // whatever others post meanwhile), else leaves it to the runner. A post from
  // within a task of the same strand is queued.
  void Post(StrandTask* task);

  // Post for rare work: allocates.
  template <typename F>
  void PostFunction(F function) {
    struct Owned : StrandTask {
      explicit Owned(F f) : StrandTask(&Invoke), function(std::move(f)) {}
      static void Invoke(StrandTask* task) {
        Owned* self = static_cast<Owned*>(task);
        self->function();
        delete self;
      }
      F function;
    };
    Post(new Owned(std::move(function)));
  }

 private:
  // head_ is one of: 0, idle; kRunning, a runner works and nothing is queued;
  // else the newest queued task (a stack through next_), a runner works.
  // Protocol: Post pushes with release, so that the runner, which takes the
  // stack with acquire, sees the task's contents; the runner goes idle with
  // release and the next runner's exchange acquires it, so that each task sees
  // what the tasks before it did, whichever thread ran them.
  static constexpr uintptr_t kRunning = 1;
  std::atomic<uintptr_t> head_{0};
};

}  // namespace paramo
