// Outgoing bytes: filled once by their maker, then handed to the transport,
// which sends them without copying.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <utility>

#include "absl/container/inlined_vector.h"

namespace paramo {

// A block from malloc with one owner.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t size);
  ~Buffer() { std::free(data_); }
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  uint8_t* data() { return data_; }
  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

  // Gives the block away; the taker frees it with free().
  uint8_t* Release() {
    size_ = 0;
    return std::exchange(data_, nullptr);
  }

 private:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

// One outgoing message: its blocks in order. Nearly always one block.
using Message = absl::InlinedVector<Buffer, 1>;

inline size_t MessageBytes(const Message& message) {
  size_t bytes = 0;
  for (const Buffer& buffer : message) bytes += buffer.size();
  return bytes;
}

}  // namespace paramo
