#include "server/log/segment.h"

#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "common/hash/crc32c.h"

namespace paramo {
namespace {

// Of all behind the field `crc32c`.
template <typename Header>
uint32_t ComputeCrc(const Header& header) {
  constexpr size_t kBegin = offsetof(Header, crc32c) + sizeof(uint32_t);
  const auto* bytes = reinterpret_cast<const uint8_t*>(&header);
  return Crc32c(bytes + kBegin, sizeof(header) - kBegin);
}

}  // namespace

void Seal(SegmentHeader& header) {
  std::memcpy(header.magic, kSegmentMagic, sizeof(header.magic));
  header.crc32c = ComputeCrc(header);
}

void Seal(BatchHeader& header) {
  header.magic = kBatchMagic;
  header.crc32c = ComputeCrc(header);
}

bool Check(const SegmentHeader& header) {
  return std::memcmp(header.magic, kSegmentMagic, sizeof(header.magic)) == 0 &&
         header.crc32c == ComputeCrc(header);
}

bool Check(const BatchHeader& header) {
  return header.magic == kBatchMagic && header.crc32c == ComputeCrc(header);
}

std::string SegmentName::Format() const {
  return absl::StrFormat("%08x-%016x.log", number, first_position);
}

std::optional<SegmentName> SegmentName::Parse(absl::string_view name) {
  SegmentName parsed;
  const size_t dash = name.find('-');
  if (dash == absl::string_view::npos || !absl::EndsWith(name, ".log")) {
    return std::nullopt;
  }
  const absl::string_view position =
      name.substr(dash + 1, name.size() - dash - 1 - 4);
  if (!absl::SimpleHexAtoi(name.substr(0, dash), &parsed.number) ||
      !absl::SimpleHexAtoi(position, &parsed.first_position) ||
      parsed.number == 0 || parsed.Format() != name) {
    return std::nullopt;
  }
  return parsed;
}

}  // namespace paramo
