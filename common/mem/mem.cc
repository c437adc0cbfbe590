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

namespace {

// A piece of this size costs less to copy than to hand over by itself.
constexpr size_t kCopiedPieceBytesMax = 4096;

// Copies pieces [begin, end) into one block.
Buffer CopyTogether(const Piece* begin, const Piece* end) {
  size_t bytes = 0;
  for (const Piece* piece = begin; piece != end; ++piece) bytes += piece->size;
  Buffer block(bytes);
  uint8_t* out = block.data();
  for (const Piece* piece = begin; piece != end; ++piece) {
    std::memcpy(out, piece->data, piece->size);
    out += piece->size;
  }
  return block;
}

}  // namespace

void AppendRope(const Rope& rope, Message& message) {
  std::shared_ptr<const Rope> owner;
  const Piece* end = rope.pieces().data() + rope.pieces().size();
  for (const Piece* piece = rope.pieces().data(); piece != end;) {
    if (piece->size > kCopiedPieceBytesMax) {
      if (owner == nullptr) owner = std::make_shared<const Rope>(rope);
      message.push_back(Buffer(*piece, owner));
      ++piece;
      continue;
    }
    const Piece* small = piece;
    while (piece != end && piece->size <= kCopiedPieceBytesMax) ++piece;
    message.push_back(CopyTogether(small, piece));
  }
}

void Rope::Truncate(size_t size) {
  PARAMO_CHECK(size <= size_);
  while (size_ > size) {
    Piece& last = pieces_.back();
    const size_t dropped = std::min(last.size, size_ - size);
    last.size -= dropped;
    size_ -= dropped;
    if (last.size == 0) pieces_.pop_back();
  }
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
