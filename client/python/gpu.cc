#include "client/python/gpu.h"

#include <dlfcn.h>

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <string>

// What is used of the driver: its own declarations where they are installed,
// so that a compiler compares; otherwise the same by hand (an ABI that stays).
#if __has_include(<cuda.h>)
#include <cuda.h>
#else
extern "C" {
using CUresult = int;
using CUdevice = int;
using CUcontext = struct CUctx_st*;
using CUstream = struct CUstream_st*;
using CUdeviceptr = unsigned long long;
CUresult cuInit(unsigned int);
CUresult cuGetErrorString(CUresult, const char**);
CUresult cuDeviceGet(CUdevice*, int);
CUresult cuDevicePrimaryCtxRetain(CUcontext*, CUdevice);
CUresult cuCtxPushCurrent_v2(CUcontext);
CUresult cuCtxPopCurrent_v2(CUcontext*);
CUresult cuStreamCreate(CUstream*, unsigned int);
CUresult cuStreamSynchronize(CUstream);
CUresult cuMemHostAlloc(void**, size_t, unsigned int);
CUresult cuMemFreeHost(void*);
CUresult cuMemcpyDtoHAsync_v2(void*, CUdeviceptr, size_t, CUstream);
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr, const void*, size_t, CUstream);
}
#endif

namespace paramo::python {
namespace {

constexpr unsigned kStreamNonBlocking = 1;  // CU_STREAM_NON_BLOCKING
constexpr unsigned kPortable = 1;           // CU_MEMHOSTALLOC_PORTABLE
constexpr size_t kPinnedBytesMin = 64 << 10;
constexpr size_t kIdleBytesMax = 256 << 20;  // kept by each GPU

void* Library() {
  void* library = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    throw std::runtime_error(
        "NVIDIA's driver, libcuda.so.1, cannot be loaded here");
  }
  return library;
}

// The driver's functions by name.
struct Driver {
  static const Driver& Get() {
    static const Driver driver;  // a throw leaves it to be tried again
    return driver;
  }
  Driver() { Check(init(0), "start the driver"); }

  void Check(CUresult result, const char* what) const {
    if (static_cast<int>(result) == 0) return;
    const char* why = nullptr;
    get_error_string(result, &why);
    throw std::runtime_error(std::string("the GPU could not ") + what + ": " +
                             (why == nullptr ? "unknown error" : why));
  }

  template <typename Function>
  Function* Find(const char* name) const {
    void* function = ::dlsym(library, name);
    if (function == nullptr) {
      throw std::runtime_error(std::string("libcuda.so.1 has no ") + name);
    }
    return reinterpret_cast<Function*>(function);
  }

  void* const library = Library();
#define PARAMO_CUDA(member, function) \
  decltype(&function) const member = Find<decltype(function)>(#function)
  PARAMO_CUDA(init, cuInit);
  PARAMO_CUDA(get_error_string, cuGetErrorString);
  PARAMO_CUDA(device_get, cuDeviceGet);
  PARAMO_CUDA(retain_context, cuDevicePrimaryCtxRetain);
  PARAMO_CUDA(push_context, cuCtxPushCurrent_v2);
  PARAMO_CUDA(pop_context, cuCtxPopCurrent_v2);
  PARAMO_CUDA(stream_create, cuStreamCreate);
  PARAMO_CUDA(stream_synchronize, cuStreamSynchronize);
  PARAMO_CUDA(host_alloc, cuMemHostAlloc);
  PARAMO_CUDA(host_free, cuMemFreeHost);
  PARAMO_CUDA(to_host, cuMemcpyDtoHAsync_v2);
  PARAMO_CUDA(to_device, cuMemcpyHtoDAsync_v2);
#undef PARAMO_CUDA
};

// A context made the calling thread's for a scope.
class Current {
 public:
  explicit Current(void* context) {
    driver_.Check(driver_.push_context(static_cast<CUcontext>(context)),
                  "be used from this thread");
  }
  ~Current() {
    CUcontext popped;
    driver_.pop_context(&popped);
  }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;

 private:
  const Driver& driver_ = Driver::Get();
};

}  // namespace

Gpu& Gpu::Of(int ordinal) {
  static std::mutex mu;
  static auto* gpus = new std::map<int, std::unique_ptr<Gpu>>;
  const std::lock_guard lock(mu);
  std::unique_ptr<Gpu>& gpu = (*gpus)[ordinal];
  if (gpu == nullptr) gpu = std::make_unique<Gpu>(ordinal);
  return *gpu;
}

Gpu::Gpu(int ordinal) {
  const Driver& driver = Driver::Get();
  CUdevice device;
  driver.Check(driver.device_get(&device, ordinal), "be found");
  CUcontext context;
  driver.Check(driver.retain_context(&context, device), "be opened");
  context_ = context;
  const Current current(context_);
  CUstream stream;
  driver.Check(driver.stream_create(&stream, kStreamNonBlocking),
               "make a stream");
  stream_ = stream;
}

std::unique_ptr<Pinned> Gpu::Pin(size_t bytes) {
  const size_t capacity = std::bit_ceil(std::max(bytes, kPinnedBytesMin));
  {
    const std::lock_guard lock(mu_);
    std::vector<void*>& idle = idle_[capacity];
    if (!idle.empty()) {
      void* const data = idle.back();
      idle.pop_back();
      idle_bytes_ -= capacity;
      return std::make_unique<Pinned>(this, data, bytes, capacity);
    }
  }
  const Driver& driver = Driver::Get();
  const Current current(context_);
  void* data;
  driver.Check(driver.host_alloc(&data, capacity, kPortable), "pin memory");
  return std::make_unique<Pinned>(this, data, bytes, capacity);
}

void Gpu::TakeBack(void* data, size_t capacity) {
  {
    const std::lock_guard lock(mu_);
    if (idle_bytes_ + capacity <= kIdleBytesMax) {
      idle_[capacity].push_back(data);
      idle_bytes_ += capacity;
      return;
    }
  }
  // In a destructor, perhaps at the process' end: what fails is left.
  const Driver& driver = Driver::Get();
  driver.push_context(static_cast<CUcontext>(context_));
  driver.host_free(data);
  CUcontext popped;
  driver.pop_context(&popped);
}

void Gpu::ToHost(const Pinned& to, const void* from) {
  if (to.bytes() == 0) return;
  const Driver& driver = Driver::Get();
  const Current current(context_);
  driver.Check(driver.to_host(to.data(), reinterpret_cast<CUdeviceptr>(from),
                              to.bytes(), static_cast<CUstream>(stream_)),
               "copy to the host");
  driver.Check(driver.stream_synchronize(static_cast<CUstream>(stream_)),
               "copy to the host");
}

void Gpu::ToDevice(void* to, const Pinned& from) {
  if (from.bytes() == 0) return;
  const Driver& driver = Driver::Get();
  const Current current(context_);
  driver.Check(driver.to_device(reinterpret_cast<CUdeviceptr>(to), from.data(),
                                from.bytes(), static_cast<CUstream>(stream_)),
               "copy from the host");
  driver.Check(driver.stream_synchronize(static_cast<CUstream>(stream_)),
               "copy from the host");
}

}  // namespace paramo::python
