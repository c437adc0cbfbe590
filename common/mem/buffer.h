// Outgoing bytes: filled once by their maker, then handed to the transport,
// which sends them without copying.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "common/mem/rope.h"

namespace paramo {

// A block from malloc with one owner, or a part of somebody else's bytes.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t size);
  // Bytes that `owner` keeps alive; nobody may write to them, but for whom
  // `owner` made them.
  Buffer(const Piece& piece, std::shared_ptr<const void> owner)
      : data_(const_cast<uint8_t*>(piece.data)),
        size_(piece.size),
        owner_(std::move(owner)) {}
  ~Buffer() {
    if (owner_ == nullptr) std::free(data_);
  }
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        owner_(std::move(other.owner_)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(owner_, other.owner_);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  uint8_t* data() { return data_; }
  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

  // Gives the block away; the taker frees it with free(), unless it is shared:
  // then it lives as long as `owner`, taken before.
  uint8_t* Release() {
    size_ = 0;
    return std::exchange(data_, nullptr);
  }
  std::shared_ptr<const void> owner() const { return owner_; }

 private:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
  std::shared_ptr<const void> owner_;  // null: the block is our own
};

// One outgoing message: its blocks in order. Nearly always one block.
using Message = absl::InlinedVector<Buffer, 1>;

// Appends the bytes of `rope`: large pieces where they lie, small ones copied
// together.
void AppendRope(const Rope& rope, Message& message);

inline size_t MessageBytes(const Message& message) {
  size_t bytes = 0;
  for (const Buffer& buffer : message) bytes += buffer.size();
  return bytes;
}

}  // namespace paramo
