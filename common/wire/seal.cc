#include "common/wire/seal.h"

#include <cstring>
#include <utility>

#include "common/hash/crc32c.h"
#include "common/wire/checksum.h"
#include "common/wire/layout.h"

namespace paramo::wire {

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
  message.Truncate(size);
  return crc == CrcOfRange(message, {0, size}, 0) ? SealState::kIntact
                                                  : SealState::kBroken;
}

}  // namespace paramo::wire
