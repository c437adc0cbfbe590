#include "tests/chaos/replay.h"

#include <bit>
#include <cstdint>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/mem/rope.h"
#include "common/wire/request.h"
#include "server/log/record.h"

namespace paramo::chaos {
namespace {

struct Row {
  ScalarRow state;
  float pushes = 0;
};

class Replayer {
 public:
  Replayer(const Layout& layout, const ScalarRule& rule)
      : layout_(layout), rule_(rule) {}

  absl::Status Apply(const LogRecord& record);
  Replayed Finish() const;

 private:
  using Table = absl::flat_hash_map<Key, Row>;

  absl::Status ApplyPush(const LogRecord& record);
  Table* TableOf(TableId id);

  const Layout& layout_;
  const ScalarRule& rule_;
  Table own_, counter_, pairs_;
  // Shard, session, its epoch, number.
  absl::flat_hash_set<std::tuple<ShardId, uint64_t, uint32_t, uint64_t>> seen_;
  uint64_t repeated_ = 0;
};

absl::Status Replayer::Apply(const LogRecord& record) {
  switch (static_cast<RecordKind>(record.header.kind)) {
    case RecordKind::kPush:
      return ApplyPush(record);
    case RecordKind::kNoOp:
    case RecordKind::kCatalogue:
    case RecordKind::kRefusal:
      return absl::OkStatus();
    default:  // a run has no jobs
      return absl::DataLossError(
          absl::StrCat("a record of kind ", record.header.kind));
  }
}

absl::Status Replayer::ApplyPush(const LogRecord& record) {
  const Rope payload(
      Rope::Pieces{{record.payload.data(), record.payload.size()}}, nullptr, 0);
  PARAMO_ASSIGN_OR_RETURN(const wire::SectionView section,
                          wire::ParseSection(payload));
  const wire::SectionHeader& header = section.header;
  Table* const table = TableOf(header.table);
  const size_t count = section.keys.size / sizeof(Key);
  if (table == nullptr || section.values.size != count * sizeof(float)) {
    return absl::DataLossError(
        absl::StrCat("a push to table ", header.table, " with ", count,
                     " keys and ", section.values.size, " bytes of values"));
  }
  const bool fresh = seen_
                         .emplace(record.header.shard, header.session,
                                  header.session_epoch, header.seq)
                         .second;
  repeated_ += fresh ? 0 : 1;
  for (size_t i = 0; i < count; ++i) {
    Key key = 0;
    float gradient = 0;
    payload.Copy(section.keys.offset + i * sizeof(key), sizeof(key), &key);
    payload.Copy(section.values.offset + i * sizeof(gradient), sizeof(gradient),
                 &gradient);
    Row& row = (*table)[key];
    rule_.Apply(gradient, row.state);
    row.pushes += 1;
  }
  return absl::OkStatus();
}

Replayer::Table* Replayer::TableOf(TableId id) {
  if (id == layout_.own) return &own_;
  if (id == layout_.counter) return &counter_;
  return id == layout_.pairs ? &pairs_ : nullptr;
}

Replayed Replayer::Finish() const {
  Replayed replayed;
  replayed.repeated = repeated_;
  const auto add = [](const Table& table, auto& values, auto& pushes) {
    for (const auto& [key, row] : table) {
      values[key] = row.state.value;
      pushes[key] = row.pushes;
    }
  };
  add(own_, replayed.values.own, replayed.pushes.own);
  add(counter_, replayed.values.counter, replayed.pushes.counter);
  add(pairs_, replayed.values.pairs, replayed.pushes.pairs);
  return replayed;
}

uint64_t CountDifferent(const absl::flat_hash_map<Key, float>& a,
                        const absl::flat_hash_map<Key, float>& b) {
  uint64_t in_both = 0;
  uint64_t equal = 0;
  for (const auto& [key, value] : a) {
    const auto other = b.find(key);
    if (other == b.end()) continue;
    ++in_both;
    equal += std::bit_cast<uint32_t>(value) ==
             std::bit_cast<uint32_t>(other->second);
  }
  return a.size() + b.size() - in_both - equal;
}

}  // namespace

absl::StatusOr<Replayed> Replay(const ShardLogs& logs, const Layout& layout,
                                const ScalarRule& rule) {
  Replayer replayer(layout, rule);
  for (const ShardId shard : logs.shards()) {
    PARAMO_ASSIGN_OR_RETURN(const auto chain, logs.Chain(shard));
    for (const LogRecord& record : chain) {
      PARAMO_RETURN_IF_ERROR(Annotate(
          replayer.Apply(record),
          absl::StrCat("shard ", shard, ", record ", record.header.lsn)));
    }
  }
  return replayer.Finish();
}

uint64_t CountDifferent(const Contents& a, const Contents& b) {
  return CountDifferent(a.own, b.own) + CountDifferent(a.counter, b.counter) +
         CountDifferent(a.pairs, b.pairs);
}

}  // namespace paramo::chaos
