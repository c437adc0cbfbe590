// A Reply as a client reads it: first the bytes, then the answers to a call
// of two pushes and two pulls. The last byte says how it is cut into pieces.
// Oracles: a canonical reading equals the generated parser's; a reply written
// again reads the same; rows reach the caller only out of answers that fit,
// and then they are the reply's bytes.
#include "common/wire/reply.h"

#include "client/core/delivery.h"
#include "client/core/split.h"
#include "client/core/table_handle.h"
#include "client/core/wire_request.h"
#include "common/base/limits.h"
#include "common/wire/generated.h"
#include "common/wire/layout.h"
#include "tests/fuzz/fuzz_input.h"

namespace paramo {
namespace {

using client::Call;
using client::Claimed;
using client::Parcel;
using wire::ReplyView;
using wire::SectionReplyView;

constexpr uint32_t kDim = 2;
constexpr size_t kKeys = 3;

std::string BytesOf(const Rope& rope, wire::ByteRange range) {
  std::string bytes(range.size, '\0');
  rope.Copy(range.offset, range.size, bytes.data());
  return bytes;
}

std::string Packed(const wire::SectionReplyHeader& header) {
  std::string packed(wire::kSectionReplyHeaderBytes, '\0');
  wire::PutSectionReplyHeader(reinterpret_cast<uint8_t*>(packed.data()),
                              header);
  return packed;
}

void CheckSame(const Rope& a_rope, const std::vector<SectionReplyView>& a,
               const Rope& b_rope, const std::vector<SectionReplyView>& b) {
  PARAMO_CHECK(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    PARAMO_CHECK(Packed(a[i].header) == Packed(b[i].header));
    PARAMO_CHECK(BytesOf(a_rope, a[i].values) == BytesOf(b_rope, b[i].values));
    PARAMO_CHECK(a[i].message == b[i].message);
    PARAMO_CHECK(a[i].redirects.size() == b[i].redirects.size());
  }
}

void CheckSame(const ReplyView& a, const ReplyView& b) {
  PARAMO_CHECK(a.id == b.id && a.code == b.code && a.reason == b.reason);
  PARAMO_CHECK(a.state_version == b.state_version && a.message == b.message);
  CheckSame(a.rope, a.push, b.rope, b.push);
  CheckSame(a.rope, a.pull, b.rope, b.pull);
}

// The same answers as a server would write them, checksums included.
ReplyView WrittenAgain(const ReplyView& view) {
  std::vector<size_t> value_bytes;
  for (const auto& pull : view.pull) value_bytes.push_back(pull.values.size);
  wire::ReplyWriter writer(view.id, view.state_version, view.push.size(),
                           value_bytes);
  std::vector<wire::SectionReply> push, pull;
  for (const auto& section : view.push) {
    push.push_back({section.header, section.message, section.redirects});
  }
  for (size_t i = 0; i < view.pull.size(); ++i) {
    const SectionReplyView& section = view.pull[i];
    pull.push_back({section.header, section.message, section.redirects});
    view.rope.Copy(section.values.offset, section.values.size,
                   writer.values(i));
  }
  Message message = writer.Take(absl::MakeSpan(push), absl::MakeSpan(pull));
  std::string bytes(reinterpret_cast<char*>(message[0].data()),
                    message[0].size());
  auto again = wire::ParseReply(Rope::FromString(bytes));
  PARAMO_CHECK(again.ok());
  PARAMO_CHECK(again->push.size() == view.push.size());
  PARAMO_CHECK(again->pull.size() == view.pull.size());
  return *std::move(again);
}

// Keys 0, 1, 2 of one table on one shard, twice pushed and twice pulled.
struct Asked {
  Asked() : rows(2 * kKeys * kDim, -1.0f), grads(kKeys * kDim, 1.0f) {
    auto handle = std::make_shared<client::TableHandle>();
    handle->info.id = 1;
    handle->info.spec.dim = kDim;
    auto call = std::make_shared<Call>();
    for (uint32_t i = 0; i < 4; ++i) {
      client::Part part;
      part.is_pull = i >= 2;
      part.handle = handle;
      part.keys = keys;
      part.grads = grads;
      if (part.is_pull) {
        part.rows =
            std::span(rows).subspan((i - 2) * kKeys * kDim, kKeys * kDim);
      }
      part.split = std::make_shared<client::Split>(
          client::SplitKeys(/*table=*/1, keys, /*shard_count=*/1));
      call->parts.push_back(part);
      call->parcels.push_back(
          {0, i, 0, static_cast<uint32_t>(kKeys), part.is_pull, false, 0});
      claimed.parcels.push_back(i);
      claimed.wanted.push_back(true);
    }
    claimed.call = call;
  }

  const std::vector<uint64_t> keys = {0, 1, 2};
  std::vector<float> rows;
  const std::vector<float> grads;
  Claimed claimed;
};

void Read(const ReplyView& view) {
  Asked asked;
  const auto results = client::ReadReply(view, asked.claimed);
  PARAMO_CHECK(results.size() == 4);
  for (size_t i = 0; i < 2; ++i) {
    const float* rows = asked.rows.data() + i * kKeys * kDim;
    const bool taken =
        results[2 + i].answered && results[2 + i].header.code == 0;
    std::string bytes(kKeys * kDim * 4, '\0');
    std::memcpy(bytes.data(), rows, bytes.size());
    if (taken) {
      PARAMO_CHECK(bytes == BytesOf(view.rope, view.pull[i].values));
    } else {
      PARAMO_CHECK(std::all_of(rows, rows + kKeys * kDim,
                               [](float row) { return row == -1.0f; }));
    }
  }
}

}  // namespace
}  // namespace paramo

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace paramo;
  fuzz::Input input(data, size);
  const size_t piece = 1 + input.Choice(256);
  const std::string bytes = input.Rest();
  wire::PeekId(fuzz::Sliced(bytes, piece));
  auto cut = wire::ParseReply(fuzz::Sliced(bytes, piece));
  if (!cut.ok()) {
    PARAMO_CHECK(absl::IsInvalidArgument(cut.status()) ||
                 absl::IsResourceExhausted(cut.status()));
    return 0;
  }
  wire::ReplyView generated;
  PARAMO_CHECK(wire::ParseGenerated(Rope::FromString(bytes), generated).ok());
  CheckSame(*cut, generated);
  Read(*cut);
  if (cut->code == 0) Read(WrittenAgain(*cut));
  return 0;
}
