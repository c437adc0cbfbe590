// Arrays of a GPU as Python hands them out (DLPack), fetched to pinned memory
// and stored from there.
#include <dlpack/dlpack.h>
#include <pybind11/pybind11.h>

#include <memory>
#include <string>

#include "client/python/bind.h"
#include "client/python/gpu.h"

namespace py = pybind11;

namespace paramo::python {
namespace {

// Keeps the array alive, in the memory that its framework gave it.
class GpuArray {
 public:
  // A capsule as __dlpack__(stream=Gpu::stream()) returns it.
  explicit GpuArray(const py::capsule& capsule) {
    array_ = static_cast<DLManagedTensor*>(
        PyCapsule_GetPointer(capsule.ptr(), "dltensor"));
    if (array_ == nullptr) throw py::error_already_set();
    PyCapsule_SetName(capsule.ptr(), "used_dltensor");  // it is ours now
  }
  ~GpuArray() {
    if (array_->deleter != nullptr) array_->deleter(array_);
  }
  GpuArray(const GpuArray&) = delete;
  GpuArray& operator=(const GpuArray&) = delete;

  py::tuple shape() const {
    py::tuple shape(tensor().ndim);
    for (int i = 0; i < tensor().ndim; ++i) {
      shape[static_cast<size_t>(i)] = tensor().shape[i];
    }
    return shape;
  }

  // As NumPy names it: "float32"; "bfloat16", which it does not know.
  std::string type() const {
    constexpr const char* kNames[] = {"int",    "uint",    "float", "opaque",
                                      "bfloat", "complex", "bool"};
    const DLDataType type = tensor().dtype;
    const std::string name =
        type.code < std::size(kNames) ? kNames[type.code] : "unknown";
    if (type.lanes != 1) return name + "vector";
    return name == "bool" ? name : name + std::to_string(type.bits);
  }

  // Row by row, without gaps.
  bool contiguous() const {
    if (tensor().strides == nullptr) return true;
    int64_t expected = 1;
    for (int i = tensor().ndim - 1; i >= 0; --i) {
      if (tensor().shape[i] == 0) return true;
      if (tensor().shape[i] != 1 && tensor().strides[i] != expected) {
        return false;
      }
      expected *= tensor().shape[i];
    }
    return true;
  }

  std::unique_ptr<Pinned> Pin() const { return gpu().Pin(bytes()); }

  std::unique_ptr<Pinned> Fetch() const {
    const py::gil_scoped_release released;
    std::unique_ptr<Pinned> pinned = Pin();
    gpu().ToHost(*pinned, data());
    return pinned;
  }

  void Store(const Pinned& pinned) const {
    const py::gil_scoped_release released;
    gpu().ToDevice(data(), pinned);
  }

 private:
  const DLTensor& tensor() const { return array_->dl_tensor; }
  Gpu& gpu() const { return Gpu::Of(tensor().device.device_id); }
  std::byte* data() const {
    return static_cast<std::byte*>(tensor().data) + tensor().byte_offset;
  }
  size_t bytes() const {
    size_t bytes = (size_t{tensor().dtype.bits} * tensor().dtype.lanes + 7) / 8;
    for (int i = 0; i < tensor().ndim; ++i) {
      bytes *= static_cast<size_t>(tensor().shape[i]);
    }
    return bytes;
  }

  DLManagedTensor* array_;
};

}  // namespace

void BindGpu(py::module_& module) {
  module.def("gpu_stream",
             [](int ordinal) { return Gpu::Of(ordinal).stream(); });
  py::class_<Pinned>(module, "Pinned", py::buffer_protocol())
      .def_buffer([](const Pinned& pinned) {
        return py::buffer_info(static_cast<uint8_t*>(pinned.data()),
                               static_cast<py::ssize_t>(pinned.bytes()));
      });
  py::class_<GpuArray>(module, "GpuArray")
      .def(py::init<const py::capsule&>())
      .def_property_readonly("shape", &GpuArray::shape)
      .def_property_readonly("type", &GpuArray::type)
      .def_property_readonly("contiguous", &GpuArray::contiguous)
      .def("pin", &GpuArray::Pin)
      .def("fetch", &GpuArray::Fetch)
      .def("store", &GpuArray::Store);
}

}  // namespace paramo::python
