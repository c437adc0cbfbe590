#include "common/wire/checksum.h"

#include <algorithm>
#include <cstring>

#include "common/hash/crc32c.h"
#include "common/wire/layout.h"

namespace paramo::wire {

uint32_t CrcOfRange(const Rope& rope, ByteRange range, uint32_t crc) {
  size_t skip = range.offset;
  size_t left = range.size;
  for (const Piece& piece : rope.pieces()) {
    if (left == 0) break;
    if (skip >= piece.size) {
      skip -= piece.size;
      continue;
    }
    size_t take = std::min(left, piece.size - skip);
    crc = Crc32c(piece.data + skip, take, crc);
    left -= take;
    skip = 0;
  }
  return crc;
}

uint32_t CrcOfHeader(const SectionHeader& header, uint32_t crc) {
  uint8_t packed[8 * 4 + 10 * 8];  // 8 fixed32 and 10 fixed64 fields
  uint8_t* out = packed;
  VisitSection(header, [&out](int number, auto field) {
    if (number == 19) return;  // the checksum itself
    std::memcpy(out, &field, sizeof(field));
    out += sizeof(field);
  });
  return Crc32c(packed, sizeof(packed), crc);
}

Hash128 PayloadHash(const uint8_t* keys, size_t key_bytes,
                    const uint8_t* values, size_t value_bytes) {
  Hasher128 hasher;
  hasher.Update(keys, key_bytes);
  hasher.Update(values, value_bytes);
  return hasher.Digest();
}

}  // namespace paramo::wire
