// Requests of the data plane: a writer that lays a message out in one block,
// and a view that reads one where it lies, without copying the payload.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/base/ids.h"
#include "common/mem/buffer.h"
#include "common/mem/rope.h"
#include "common/wire/section.h"

namespace paramo::wire {

struct SectionView {
  SectionHeader header;
  ByteRange keys;                  // within the rope, n x 8 bytes
  std::optional<KeyListRef> list;  // instead of them
  ByteRange values;                // within the rope
};

// A parsed Request. Canonical messages are read in place; anything else that
// is valid protobuf goes through the generated parser, and `rope` is then the
// re-encoded message. Life: owns the rope that all ranges point into.
struct RequestView {
  Rope rope;
  uint64_t id = 0;
  uint64_t cluster = 0;
  uint32_t deadline_ms = 0;  // 0 = none given
  std::optional<Hello> hello;
  std::vector<SectionView> push;
  std::vector<SectionView> pull;
  bool canonical = true;  // false: the generated parser was needed
};

// Errors: INVALID_ARGUMENT    not a Request, or a section with keys and a list
//         RESOURCE_EXHAUSTED  more than kSectionsMax sections or kKeysMax keys
// Cost:   O(sections); payload bytes are not touched. No allocation grows with
//         a size that is only claimed.
absl::StatusOr<RequestView> ParseRequest(Rope rope);

// A push section by itself, as log records carry it: the canonical encoding of
// `header` and of the key and value blocks. The blocks stay where they lie in
// `rope`, which `owner` keeps alive.
Rope EncodeSection(const SectionHeader& header, const Rope& rope,
                   ByteRange keys, ByteRange values,
                   std::shared_ptr<const void> owner);

// The reverse; ranges are within `rope`.
// Errors: DATA_LOSS  not a canonical push section
absl::StatusOr<SectionView> ParseSection(const Rope& rope);

// CRC-32C of a section as data.proto defines it, and its check: DATA_LOSS when
// the field is present and wrong.
absl::Status CheckCrc(const Rope& rope, const SectionView& section);

// Lays a Request out in one block. Use:
//   RequestWriter writer(id, cluster, deadline_ms);
//   size_t s = writer.AddPush(header, n, n * row_bytes);   // any number
//   writer.Allocate();
//   fill writer.keys(s), writer.values(s)   (any order)
//   writer.Seal(s);          // hash and checksum of that section
//   Message message = writer.Take();
class RequestWriter {
 public:
  RequestWriter(uint64_t id, uint64_t cluster, uint32_t deadline_ms)
      : id_(id), cluster_(cluster), deadline_ms_(deadline_ms) {}

  // Return the index of the section. All pushes come before all pulls.
  size_t AddPush(const SectionHeader& header, size_t keys, size_t value_bytes);
  size_t AddPull(const SectionHeader& header, size_t keys);
  // The keys of the section added last lie at `keys` until it is sealed, which
  // copies them; with their hash, that is sent instead.
  void SetKeys(const Key* keys, const std::optional<Hash128>& hash);

  size_t ByteSize() const;
  void Allocate() { Allocate(Buffer(ByteSize())); }
  void Allocate(Buffer block);  // of that size

  // [n] u64, unless they were set, and the value bytes of section `s`;
  // unaligned: write with memcpy.
  uint8_t* keys(size_t s) { return block_.data() + sections_[s].keys.offset; }
  uint8_t* values(size_t s) {
    return block_.data() + sections_[s].values.offset;
  }

  void Seal(size_t s);
  Message Take();

 private:
  struct Section {
    SectionHeader header;
    bool is_pull;
    size_t header_offset;
    ByteRange keys;
    ByteRange values;
    const uint8_t* given_keys = nullptr;  // by SetKeys
    std::optional<KeyListRef> list = {};  // sent instead
  };
  static size_t BytesOf(const Section& section);

  uint64_t id_;
  uint64_t cluster_;
  uint32_t deadline_ms_;
  std::vector<Section> sections_;
  Buffer block_;
};

// Bytes of a Request that holds only a Hello.
Message WriteHelloRequest(uint64_t id, const Hello& hello);

}  // namespace paramo::wire
