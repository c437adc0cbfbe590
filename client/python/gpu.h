// Memory of NVIDIA GPUs, through the driver's own library, which is looked for
// when the first array of a GPU arrives: building needs no CUDA, and a machine
// without a GPU never notices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace paramo::python {

// Memory of the host that a GPU reads and writes by itself ("pinned"), at the
// speed of the bus. Goes back to its GPU, for the next one of its size.
class Pinned;

// One GPU, in the context that frameworks share (the primary one), with a
// stream of its own. Errors are std::runtime_error.
//
// Threads: any. Copies wait for their end: call them without the GIL.
class Gpu {
 public:
  // Never destroyed: the driver may be gone first when the process ends.
  static Gpu& Of(int ordinal);

  explicit Gpu(int ordinal);
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;

  // A CUstream: who hands out an array makes this wait for what writes it.
  uintptr_t stream() const { return reinterpret_cast<uintptr_t>(stream_); }

  std::unique_ptr<Pinned> Pin(size_t bytes);
  void ToHost(const Pinned& to, const void* from);
  void ToDevice(void* to, const Pinned& from);

 private:
  friend class Pinned;
  void TakeBack(void* data, size_t capacity);

  void* context_ = nullptr;
  void* stream_ = nullptr;

  std::mutex mu_;
  std::map<size_t, std::vector<void*>> idle_;  // by capacity, a power of two
  size_t idle_bytes_ = 0;
};

class Pinned {
 public:
  Pinned(Gpu* gpu, void* data, size_t bytes, size_t capacity)
      : gpu_(gpu), data_(data), bytes_(bytes), capacity_(capacity) {}
  ~Pinned() { gpu_->TakeBack(data_, capacity_); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  Gpu* const gpu_;
  void* const data_;
  const size_t bytes_;
  const size_t capacity_;
};

}  // namespace paramo::python
