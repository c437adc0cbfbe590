#include "common/wire/seal.h"

#include <cstring>
#include <utility>

#include "common/hash/crc32c.h"
#include "common/wire/checksum.h"
#include "common/wire/layout.h"

namespace paramo::wire {

namespace {

bool SkipField(Cursor& cursor) {
  uint64_t tag;
  uint64_t value;
  if (!cursor.TakeVarint(tag) || tag >> 3 == 0) return false;
  switch (tag & 7) {
    case kVarint:
      return cursor.TakeVarint(value);
    case kFixed64:
      return cursor.Skip(8);
    case kFixed32:
      return cursor.Skip(4);
    case kBytes:
      return cursor.TakeVarint(value) && cursor.Skip(value);
    default:
      return false;
  }
}

// Whether the message is whole and what looks like a seal at `seal` is the end
// of another field: one unsealed message in 256 looks like that.
bool IsWithinField(const Rope& message, size_t seal) {
  Cursor cursor(message);
  while (cursor.offset() < seal) {
    if (!SkipField(cursor)) return false;
  }
  return cursor.offset() > seal && cursor.left() == 0;
}

}  // namespace

void Seal(Message& message) {
  uint32_t crc = 0;
  for (const Buffer& block : message) {
    crc = Crc32c(block.data(), block.size(), crc);
  }
  Buffer seal(kSealBytes);
  PutFixed(seal.data(), kSealField, crc);
  message.push_back(std::move(seal));
}

void Seal(uint8_t* bytes, size_t size) {
  PutFixed(bytes + size, kSealField, Crc32c(bytes, size));
}

SealState TakeSeal(Rope& message) {
  if (message.size() < kSealBytes) return SealState::kNone;
  const size_t size = message.size() - kSealBytes;
  uint8_t seal[kSealBytes];
  message.Copy(size, kSealBytes, seal);
  const uint8_t* in = seal;
  uint32_t crc = 0;
  if (!TakeFixed(in, kSealField, crc)) return SealState::kNone;
  const bool intact = crc == CrcOfRange(message, {0, size}, 0);
  if (!intact && IsWithinField(message, size)) return SealState::kNone;
  message.Truncate(size);
  return intact ? SealState::kIntact : SealState::kBroken;
}

}  // namespace paramo::wire
