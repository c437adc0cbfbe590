// Waiting without the GIL, in slices, so that Ctrl-C ends it.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <memory>
#include <thread>
#include <utility>

#include "paramo/future.h"

namespace paramo::python {

// How long a Ctrl-C may go unnoticed; the promise is 100 ms.
inline constexpr std::chrono::milliseconds kSignalsEvery{30};

// Calls `start`, without the GIL, and waits for the future that it returns.
// Throws what a signal handler raises. The call then goes on by itself, and
// what it uses, `held`, is kept until it is over.
template <typename T, typename Start, typename Held>
T Await(Start start, std::shared_ptr<Held> held) {
  namespace py = pybind11;
  Future<T> future;
  {
    py::gil_scoped_release released;
    future = start();
    if (future.wait_for(kSignalsEvery)) return future.get();
  }
  while (PyErr_CheckSignals() == 0) {
    py::gil_scoped_release released;
    if (future.wait_for(kSignalsEvery)) return future.get();
  }
  py::error_already_set interrupted;
  future.then([held = std::move(held)](const T&) mutable {
    py::gil_scoped_acquire acquired;
    held.reset();
  });
  throw interrupted;
}

// The same for a call that blocks, on a thread of its own. `call` owns what it
// uses, none of it Python's.
template <typename Call>
auto AwaitBlocking(Call call) {
  using T = decltype(call());
  Promise<T> promise;
  auto start = [&promise, &call] {
    std::thread([promise, call = std::move(call)]() mutable {
      promise.Set(call());
    }).detach();
    return promise.future();
  };
  return Await<T>(start, std::shared_ptr<void>());
}

}  // namespace paramo::python
