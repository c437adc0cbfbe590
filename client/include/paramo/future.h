// The answer of an asynchronous call: small, movable, with one callback.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

namespace paramo {
inline namespace sdk {

template <typename T>
class Promise;

// Becomes ready exactly once, at the latest at the call's deadline. Dropping
// it does not cancel the call.
//
// Threads: a Future belongs to one thread at a time; it becomes ready on any.
template <typename T>
class [[nodiscard]] Future {
 public:
  Future() = default;

  bool valid() const { return state_ != nullptr; }

  bool ready() const {
    std::lock_guard<std::mutex> lock(state_->mu);
    return state_->value.has_value() || state_->taken;
  }

  // False when `timeout` passed first.
  bool wait_for(std::chrono::milliseconds timeout) const {
    std::unique_lock<std::mutex> lock(state_->mu);
    return state_->cv.wait_for(lock, timeout,
                               [&] { return state_->value.has_value(); });
  }

  // Waits, then moves the answer out. Once only, and not after then().
  T get() {
    std::unique_lock<std::mutex> lock(state_->mu);
    state_->cv.wait(lock, [&] { return state_->value.has_value(); });
    T value = *std::move(state_->value);
    state_->value.reset();
    state_->taken = true;
    lock.unlock();
    state_.reset();
    return value;
  }

  // Calls `callback` with the answer: at once if it is there, else on the
  // thread that brings it. It must be short, must not block, and must not
  // destroy the Cluster. Takes the place of get().
  void then(std::function<void(T)> callback) {
    std::shared_ptr<State> state = std::move(state_);
    {
      std::lock_guard<std::mutex> lock(state->mu);
      if (!state->value.has_value()) {
        state->callback = std::move(callback);
        return;
      }
      state->taken = true;
    }
    callback(*std::move(state->value));
  }

 private:
  friend class Promise<T>;
  struct State {
    mutable std::mutex mu;
    std::condition_variable cv;
    std::optional<T> value;
    std::function<void(T)> callback;
    bool taken = false;
  };
  explicit Future(std::shared_ptr<State> state) : state_(std::move(state)) {}

  std::shared_ptr<State> state_;  // shared with the Promise
};

// The other end: whoever works on the answer.
template <typename T>
class Promise {
 public:
  Promise() : state_(std::make_shared<typename Future<T>::State>()) {}

  Future<T> future() const { return Future<T>(state_); }

  // Once.
  void Set(T value) {
    std::function<void(T)> callback;
    {
      std::lock_guard<std::mutex> lock(state_->mu);
      if (state_->callback) {
        callback = std::move(state_->callback);
        state_->taken = true;
      } else {
        state_->value.emplace(std::move(value));
        state_->cv.notify_all();
        return;
      }
    }
    callback(std::move(value));
  }

 private:
  std::shared_ptr<typename Future<T>::State> state_;
};

}  // namespace sdk
}  // namespace paramo
