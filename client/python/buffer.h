// Memory of Python objects, borrowed for the time of a call: no copy is made
// here, and an object that would need one is refused.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <span>
#include <vector>

namespace paramo::python {

// Views of contiguous arrays. Keeps them alive and in place, so it has to live
// as long as anybody may touch their memory.
//
// Threads: one at a time; made and destroyed with the GIL held.
class Borrowed {
 public:
  Borrowed() = default;
  ~Borrowed();
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;

  // Throws TypeError unless the object has a contiguous buffer of that type,
  // writable where a span of it may be written.
  std::span<const uint64_t> Keys(pybind11::handle array);
  std::span<const float> Floats(pybind11::handle array);
  std::span<float> WritableFloats(pybind11::handle array);

 private:
  const Py_buffer& Take(pybind11::handle array, int flags, const char* formats,
                        size_t item_bytes);

  std::vector<Py_buffer> views_;
};

}  // namespace paramo::python
