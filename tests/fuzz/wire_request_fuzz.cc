// A Request as a server reads it. The last byte says how it is cut into
// pieces. Oracle: any cut reads the same, and a canonical reading has the
// fields and blocks that the generated parser finds.
#include "common/wire/request.h"

#include "common/base/limits.h"
#include "common/wire/generated.h"
#include "common/wire/layout.h"
#include "common/wire/seal.h"
#include "tests/fuzz/fuzz_input.h"

namespace paramo::wire {
namespace {

std::string BytesOf(const Rope& rope, ByteRange range) {
  std::string bytes(range.size, '\0');
  rope.Copy(range.offset, range.size, bytes.data());
  return bytes;
}

std::string Packed(SectionHeader header) {
  std::string packed(kSectionHeaderBytes, '\0');
  PutSectionHeader(reinterpret_cast<uint8_t*>(packed.data()), header);
  return packed;
}

void CheckSame(const Rope& a_rope, const std::vector<SectionView>& a,
               const Rope& b_rope, const std::vector<SectionView>& b) {
  PARAMO_CHECK(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    PARAMO_CHECK(a[i].header.present == b[i].header.present);
    PARAMO_CHECK(Packed(a[i].header) == Packed(b[i].header));
    PARAMO_CHECK(BytesOf(a_rope, a[i].keys) == BytesOf(b_rope, b[i].keys));
    PARAMO_CHECK(a[i].list.has_value() == b[i].list.has_value());
    if (a[i].list.has_value()) {
      PARAMO_CHECK(a[i].list->hash == b[i].list->hash);
      PARAMO_CHECK(a[i].list->count == b[i].list->count);
    }
    PARAMO_CHECK(BytesOf(a_rope, a[i].values) == BytesOf(b_rope, b[i].values));
    PARAMO_CHECK(CheckCrc(a_rope, a[i]).ok() == CheckCrc(b_rope, b[i]).ok());
  }
}

void CheckSame(const RequestView& a, const RequestView& b) {
  PARAMO_CHECK(a.id == b.id && a.cluster == b.cluster);
  PARAMO_CHECK(a.deadline_ms == b.deadline_ms);
  PARAMO_CHECK(a.hello.has_value() == b.hello.has_value());
  CheckSame(a.rope, a.push, b.rope, b.push);
  CheckSame(a.rope, a.pull, b.rope, b.pull);
}

}  // namespace
}  // namespace paramo::wire

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace paramo;  // a target has no other scope to put it in
  fuzz::Input input(data, size);
  const size_t piece = 1 + input.Choice(256);
  const std::string bytes = input.Rest();
  Rope sealed = fuzz::Sliced(bytes, piece);
  Rope sealed_whole = Rope::FromString(bytes);
  const wire::SealState seal = wire::TakeSeal(sealed);
  PARAMO_CHECK(seal == wire::TakeSeal(sealed_whole));
  PARAMO_CHECK(sealed.size() +
                   (seal == wire::SealState::kNone ? 0 : wire::kSealBytes) ==
               bytes.size());
  auto cut = wire::ParseRequest(fuzz::Sliced(bytes, piece));
  auto whole = wire::ParseRequest(Rope::FromString(bytes));
  PARAMO_CHECK(cut.status() == whole.status());
  if (!cut.ok()) {
    PARAMO_CHECK(absl::IsInvalidArgument(cut.status()) ||
                 absl::IsResourceExhausted(cut.status()));
    return 0;
  }
  PARAMO_CHECK(cut->canonical == whole->canonical);
  PARAMO_CHECK(cut->push.size() + cut->pull.size() <= kSectionsMax);
  wire::CheckSame(*cut, *whole);
  wire::RequestView generated;
  PARAMO_CHECK(wire::ParseGenerated(Rope::FromString(bytes), generated).ok());
  wire::CheckSame(*cut, generated);
  return 0;
}
