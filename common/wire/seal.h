// The last field of a message on a stream: the CRC-32C of all bytes before it
// (docs/formats/wire.md). Sections and records have checksums of their own,
// which say whose push was damaged; this one finds a bit flipped in what lies
// around them, above all in ids and answers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/mem/buffer.h"
#include "common/mem/rope.h"

namespace paramo::wire {

inline constexpr int kSealField = 15;        // of every message that has one
inline constexpr size_t kSealBytes = 1 + 4;  // tag, fixed32

void Seal(Message& message);
// Writes the seal of bytes [0, size) behind them.
void Seal(uint8_t* bytes, size_t size);

enum class SealState { kNone, kIntact, kBroken };

// Looks for a seal at the end of `message` and takes it off. kNone: the sender
// does not seal, or what would tell was damaged.
SealState TakeSeal(Rope& message);

}  // namespace paramo::wire
