// A received message as it lies in memory: pieces of bytes, and what keeps
// them alive. Nothing above the transport knows what a gRPC slice is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/types/span.h"

namespace paramo {

struct Piece {
  const uint8_t* data = nullptr;
  size_t size = 0;
};

// Read-only; a copy shares the bytes, which live as long as any of them.
// Threads: const methods from any.
class Rope {
 public:
  using Pieces = absl::InlinedVector<Piece, 8>;

  Rope() = default;

  // `owner` keeps the bytes of `pieces` alive. `pinned_bytes` is the memory
  // that this message holds back from being freed: a 64-byte message pins the
  // whole read chunk that it arrived in.
  Rope(Pieces pieces, std::shared_ptr<const void> owner, size_t pinned_bytes)
      : pieces_(std::move(pieces)),
        owner_(std::move(owner)),
        pinned_bytes_(pinned_bytes) {
    for (const Piece& piece : pieces_) size_ += piece.size;
  }

  absl::Span<const Piece> pieces() const { return pieces_; }
  size_t size() const { return size_; }
  size_t pinned_bytes() const { return pinned_bytes_; }

  // Drops all bytes from `size` on, which must not be above size().
  void Truncate(size_t size);

  // Copies [offset, offset + size) to `out`. The range must lie within.
  void Copy(size_t offset, size_t size, void* out) const;

  // Appends the pieces of [offset, offset + size), which must lie within, to
  // `pieces`; the bytes stay this rope's.
  void AddPieces(size_t offset, size_t size, Pieces& pieces) const;

  // The whole as one array, copied. For rare paths and tests.
  std::string Flatten() const;

  // A rope of one piece that owns a copy of `bytes`.
  static Rope FromString(std::string bytes);

 private:
  Pieces pieces_;
  std::shared_ptr<const void> owner_;  // the transport's slices
  size_t size_ = 0;
  size_t pinned_bytes_ = 0;
};

}  // namespace paramo
