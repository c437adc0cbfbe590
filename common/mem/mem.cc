#include <algorithm>
#include <cstring>
#include <string>

#include "common/base/check.h"
#include "common/mem/buffer.h"
#include "common/mem/rope.h"

namespace paramo {

Buffer::Buffer(size_t size)
    : data_(static_cast<uint8_t*>(std::malloc(size == 0 ? 1 : size))),
      size_(size) {
  PARAMO_CHECK(data_ != nullptr);  // sizes are bounded by kMessageBytesMax
}

void Rope::Copy(size_t offset, size_t size, void* out) const {
  PARAMO_CHECK(offset <= size_ && size <= size_ - offset);
  uint8_t* to = static_cast<uint8_t*>(out);
  for (const Piece& piece : pieces_) {
    if (size == 0) return;
    if (offset >= piece.size) {
      offset -= piece.size;
      continue;
    }
    size_t take = std::min(size, piece.size - offset);
    std::memcpy(to, piece.data + offset, take);
    to += take;
    size -= take;
    offset = 0;
  }
}

void Rope::AddPieces(size_t offset, size_t size, Pieces& pieces) const {
  PARAMO_CHECK(offset <= size_ && size <= size_ - offset);
  for (const Piece& piece : pieces_) {
    if (size == 0) return;
    if (offset >= piece.size) {
      offset -= piece.size;
      continue;
    }
    const size_t take = std::min(size, piece.size - offset);
    pieces.push_back({piece.data + offset, take});
    size -= take;
    offset = 0;
  }
}

std::string Rope::Flatten() const {
  std::string out(size_, '\0');
  Copy(0, size_, out.data());
  return out;
}

Rope Rope::FromString(std::string bytes) {
  auto owner = std::make_shared<const std::string>(std::move(bytes));
  Pieces pieces;
  pieces.push_back(
      {reinterpret_cast<const uint8_t*>(owner->data()), owner->size()});
  return Rope(std::move(pieces), owner, owner->size());
}

}  // namespace paramo
