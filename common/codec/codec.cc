#include "common/codec/codec.h"

#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/codec/registry.h"

namespace paramo {
namespace {

// The registry: one line per codec, in order of id.
const auto& Codecs() {
  static const std::array codecs = {
      F32Entry(),
      F16Entry(),
      Bf16Entry(),
      Int8Entry(),
  };
  return codecs;
}

absl::Status Unknown(absl::string_view codec) {
  return absl::InvalidArgumentError(absl::StrCat(
      "codec ", codec, " is unknown here; use one of ",
      absl::StrJoin(Codecs(), ", ", [](std::string* out, const Codec& known) {
        absl::StrAppend(out, known.name, " (", known.id, ")");
      })));
}

}  // namespace

absl::Span<const Codec> ListCodecs() { return Codecs(); }

const Codec& F32() { return Codecs().front(); }

absl::StatusOr<const Codec*> FindCodec(uint32_t id) {
  for (const Codec& codec : Codecs()) {
    if (codec.id == id) return &codec;
  }
  return Unknown(absl::StrCat(id));
}

absl::StatusOr<const Codec*> FindCodec(absl::string_view name) {
  for (const Codec& codec : Codecs()) {
    if (codec.name == name) return &codec;
  }
  return Unknown(absl::StrCat("\"", Printable(name, 64), "\""));
}

uint64_t CodecSeed(uint64_t session, uint64_t seq, uint64_t key) {
  return Mix64(Mix64(Mix64(session) ^ seq) ^ key) | 1;
}

}  // namespace paramo
