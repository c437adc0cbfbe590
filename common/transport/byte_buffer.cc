#include "common/transport/byte_buffer.h"

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/slice.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "common/base/limits.h"

namespace paramo {
namespace {

// Shows the slices that the reader walks over where they lie, without taking a
// reference to each.
class SliceReader : public grpc::ProtoBufferReader {
 public:
  using grpc::ProtoBufferReader::ProtoBufferReader;

  const grpc_slice* NextSlice() {
    const void* data;
    int size;
    return Next(&data, &size) ? slice() : nullptr;
  }
};

// A block that slices share, and how many of its bytes this message holds.
struct Block {
  const grpc_slice_refcount* refcount;
  size_t bytes;
};

}  // namespace

Rope ToRope(grpc::ByteBuffer& buffer) {
  if (!buffer.Valid()) return Rope();
  auto owner = std::make_shared<grpc::ByteBuffer>();
  owner->Swap(&buffer);

  Rope::Pieces pieces;
  absl::InlinedVector<Block, 8> blocks;
  size_t inlined_bytes = 0;  // in the buffer itself, 23 at most per slice
  SliceReader reader(owner.get());
  while (const grpc_slice* slice = reader.NextSlice()) {
    const size_t size = GRPC_SLICE_LENGTH(*slice);
    if (size == 0) continue;
    pieces.push_back({GRPC_SLICE_START_PTR(*slice), size});
    if (slice->refcount == nullptr) {
      inlined_bytes += sizeof(grpc_slice);
      continue;
    }
    // Slices of one block follow each other: look at the last one first.
    auto block = std::find_if(
        blocks.rbegin(), blocks.rend(),
        [slice](const Block& b) { return b.refcount == slice->refcount; });
    if (block != blocks.rend()) {
      block->bytes += size;
    } else {
      blocks.push_back({slice->refcount, size});
    }
  }
  size_t pinned = inlined_bytes;
  for (const Block& block : blocks)
    pinned += std::max(kReadBlockBytes, block.bytes);
  return Rope(std::move(pieces), std::move(owner), pinned);
}

grpc::ByteBuffer ToByteBuffer(Message message) {
  absl::InlinedVector<grpc::Slice, 4> slices;
  for (Buffer& block : message) {
    const size_t size = block.size();
    if (size == 0) continue;
    std::shared_ptr<const void> owner = block.owner();
    uint8_t* bytes = block.Release();
    if (owner != nullptr) {
      using Owner = std::shared_ptr<const void>;
      slices.push_back(grpc::Slice(
          bytes, size, [](void* held) { delete static_cast<Owner*>(held); },
          new Owner(std::move(owner))));
      continue;
    }
    slices.push_back(
        grpc::Slice(bytes, size, [](void* data) { std::free(data); }));
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

}  // namespace paramo
