// Checksums of sections, as data.proto defines them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/hash/hash128.h"
#include "common/mem/rope.h"
#include "common/wire/section.h"

namespace paramo::wire {

// CRC-32C of `range`, continuing from `crc`.
uint32_t CrcOfRange(const Rope& rope, ByteRange range, uint32_t crc);

// CRC-32C of header fields 1 to 18, packed without tags, continuing from `crc`.
uint32_t CrcOfHeader(const SectionHeader& header, uint32_t crc);

// XXH3-128 of the key block followed by the value block.
Hash128 PayloadHash(const uint8_t* keys, size_t key_bytes,
                    const uint8_t* values, size_t value_bytes);

}  // namespace paramo::wire
