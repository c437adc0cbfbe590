#include "common/codec/codec.h"

#include "absl/strings/str_cat.h"

namespace paramo {
namespace {

constexpr Codec kCodecs[] = {
    {kCodecF32, "f32", /*linear=*/true, /*unbiased=*/true,
     /*needs_memory=*/false, /*in_place=*/true,
     [](uint32_t dim) { return size_t{4} * dim; }},
};

}  // namespace

absl::StatusOr<const Codec*> FindCodec(uint32_t id) {
  for (const Codec& codec : kCodecs) {
    if (codec.id == id) return &codec;
  }
  std::string known;
  for (const Codec& codec : kCodecs) {
    absl::StrAppend(&known, known.empty() ? "" : ", ", codec.name, " = ",
                    codec.id);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("codec ", id, " is unknown to this server; it has ", known));
}

}  // namespace paramo
