// What a codec's file gives to the registry in codec.cc.
#pragma once

#include "common/codec/codec.h"

namespace paramo {

Codec F32Entry();
Codec F16Entry();
Codec Bf16Entry();
Codec Int8Entry();

}  // namespace paramo
