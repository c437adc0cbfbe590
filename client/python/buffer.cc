#include "client/python/buffer.h"

#include <cstring>
#include <string>

namespace py = pybind11;

namespace paramo::python {
namespace {

template <typename T>
std::span<T> SpanOf(const Py_buffer& view) {
  return {static_cast<T*>(view.buf), static_cast<size_t>(view.len) / sizeof(T)};
}

}  // namespace

Borrowed::~Borrowed() {
  for (Py_buffer& view : views_) PyBuffer_Release(&view);
}

const Py_buffer& Borrowed::Take(py::handle array, int flags,
                                const char* formats, size_t item_bytes) {
  Py_buffer view;
  if (PyObject_GetBuffer(array.ptr(), &view,
                         PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | flags) != 0) {
    throw py::error_already_set();
  }
  views_.push_back(view);
  const bool known = view.format != nullptr && std::strlen(view.format) == 1 &&
                     std::strchr(formats, view.format[0]) != nullptr;
  if (!known || static_cast<size_t>(view.itemsize) != item_bytes) {
    throw py::type_error(std::string("an array of type ") +
                         (view.format == nullptr ? "?" : view.format) +
                         "; expected " + formats);
  }
  return views_.back();
}

std::span<const uint64_t> Borrowed::Keys(py::handle array) {
  return SpanOf<const uint64_t>(Take(array, 0, "LQ", sizeof(uint64_t)));
}

std::span<const float> Borrowed::Floats(py::handle array) {
  return SpanOf<const float>(Take(array, 0, "f", sizeof(float)));
}

std::span<float> Borrowed::WritableFloats(py::handle array) {
  return SpanOf<float>(Take(array, PyBUF_WRITABLE, "f", sizeof(float)));
}

}  // namespace paramo::python
