// From a Status to the exception that Python gets.
#pragma once

#include <pybind11/pybind11.h>

#include "paramo/status.h"

namespace paramo::python {

// The exception of paramo/errors.py for a status that is not OK. With the GIL.
pybind11::object MakeError(const Status& status);

// Throws it.
[[noreturn]] void Raise(const Status& status);
inline void RaiseUnlessOk(const Status& status) {
  if (!status.ok()) Raise(status);
}

template <typename T>
T ValueOrRaise(Result<T> result) {
  if (!result.ok()) Raise(result.status());
  return *std::move(result);
}

}  // namespace paramo::python
