#include "server/service/plan.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/routing/routing.h"
#include "server/shard/decode.h"
#include "server/table/table_shard.h"

namespace paramo {
namespace {

uint32_t DimOf(const ClusterView& view, TableId id) {
  const TableConfig* table = view.FindTable(id);
  return table == nullptr ? 0 : table->dim;
}

// Of the rows that answer a pull.
size_t AnswerBytes(const wire::SectionView& section, const Codec& codec,
                   uint32_t dim) {
  return dim == 0 ? 0 : section.keys.size / sizeof(Key) * codec.row_bytes(dim);
}

// Hands out the space for decoded keys and row addresses.
class Space {
 public:
  explicit Space(RequestData& data) : data_(data) {}
  absl::Span<Key> Keys(size_t n) {
    keys_ += n;
    return absl::MakeSpan(data_.keys).subspan(keys_ - n, n);
  }
  absl::Span<const float*> Rows(size_t n) {
    rows_ += n;
    return absl::MakeSpan(data_.rows).subspan(rows_ - n, n);
  }

 private:
  RequestData& data_;
  size_t keys_ = 0;
  size_t rows_ = 0;
};

class Planner {
 public:
  Planner(const PlanContext& context, const std::shared_ptr<RequestData>& data,
          ServedRequest& served)
      : context_(context), data_(data), served_(served), space_(*data) {}

  void Add(const wire::SectionView& section, bool is_pull) {
    auto& slots = is_pull ? served_.pull : served_.push;
    slots.emplace_back();
    slots.back().first = served_.tasks.size();
    ServedSection whole;
    whole.data = data_;
    whole.section = section;
    whole.is_pull = is_pull;
    whole.follows_push = is_pull && !served_.push.empty();
    whole.deadline = context_.deadline;
    whole.out_dim = DimOf(context_.view, section.header.table);
    size_t n = section.keys.size / sizeof(Key);
    whole.keys = space_.Keys(n);
    if (!is_pull) whole.rows = space_.Rows(n);

    wire::SectionReply& refused = slots.back().refused;
    absl::Status codec;
    if (is_pull) codec = ChooseCodec(whole);
    if (!codec.ok()) {
      RefuseWhole(section, codec, wire::Reason::kCodec, refused);
    } else if (section.list.has_value()) {
      Refuse(refused,
             absl::AbortedError(absl::StrCat(
                 "no list of ", section.list->count,
                 " keys with this hash is known here (any more); nothing was "
                 "done: send the section again with its keys")),
             wire::Reason::kNeedKeys);
    } else if (!section.header.has(wire::kShard)) {
      Split(std::move(whole), refused);
    } else if (section.header.shard >= context_.shards.size()) {
      RefuseWhole(
          section,
          absl::InvalidArgumentError(absl::StrCat(
              "shard ", section.header.shard, " of ", context_.shards.size())),
          wire::Reason::kWrongShard, refused);
    } else {
      whole.shard = context_.shards[section.header.shard];
      Submit(std::move(whole));
    }
    slots.back().count = served_.tasks.size() - slots.back().first;
  }

 private:
  void Refuse(wire::SectionReply& reply, const absl::Status& status,
              wire::Reason reason) {
    context_.counters.CountRefusal(reason);
    reply.header.code = static_cast<uint32_t>(status.code());
    reply.header.reason = static_cast<uint32_t>(reason);
    reply.message =
        std::string(status.message().data(), status.message().size());
  }

  // Because of its header: of a shard that does not exist, say. The refusal is
  // final and settles a push's number, so it must not be made for a header that
  // was damaged on the way.
  void RefuseWhole(const wire::SectionView& section, const absl::Status& status,
                   wire::Reason reason, wire::SectionReply& refused) {
    const absl::Status crc = wire::CheckCrc(data_->rope, section);
    if (!crc.ok()) return Refuse(refused, crc, wire::Reason::kChecksum);
    Refuse(refused, status, reason);
  }

  // How the answer to a pull is to be written; reserves the space for it.
  absl::Status ChooseCodec(ServedSection& pull) {
    const auto codec = FindCodec(pull.header().codec);
    if (codec.ok()) pull.codec = *codec;
    served_.pull_bytes.push_back(
        codec.ok() ? AnswerBytes(pull.section, **codec, pull.out_dim) : 0);
    return codec.status();
  }

  void Submit(ServedSection task) {
    task.request = &served_;
    served_.tasks.push_back(std::move(task));
  }

  // A section of any shard mix, from a simple client: it becomes one task per
  // shard, with its own keys and row addresses.
  void Split(ServedSection whole, wire::SectionReply& refused) {
    const wire::SectionHeader& header = whole.header();
    uint32_t shard_count = static_cast<uint32_t>(context_.shards.size());
    const TableConfig* table = context_.view.FindTable(header.table);
    if (table == nullptr) {
      return Refuse(
          refused,
          absl::NotFoundError(absl::StrCat("no table with id ", header.table,
                                           "; list the tables")),
          wire::Reason::kUnknownTable);
    }
    if (header.session != kNoSession || header.end_of_clock()) {
      return Refuse(refused,
                    absl::InvalidArgumentError(
                        "a section with a session or an end of clock must name "
                        "its shard: sequence numbers are per shard"),
                    wire::Reason::kUnsupported);
    }
    DecodeError error = DecodeSplit(whole, *table);
    if (!error.status.ok()) {
      return Refuse(refused, error.status, error.reason);
    }
    std::map<ShardId, std::vector<size_t>> parts;
    for (size_t i = 0; i < whole.keys.size(); ++i) {
      parts[ShardOf(header.table, whole.keys[i], shard_count)].push_back(i);
    }
    if (Redirected(parts, refused)) return;
    // The parts take the same space, in shard order.
    std::vector<Key> keys(whole.keys.begin(), whole.keys.end());
    std::vector<const float*> rows(whole.rows.begin(), whole.rows.end());
    size_t at = 0;
    for (const auto& [shard, indices] : parts) {
      ServedSection part = Part(whole, shard, at, indices.size());
      for (size_t i = 0; i < indices.size(); ++i) {
        part.keys[i] = keys[indices[i]];
        if (part.is_pull) {
          // Relative to the section's values; ServedRequest::Run adds those.
          part.outs.push_back(reinterpret_cast<uint8_t*>(
              indices[i] * whole.codec->row_bytes(whole.out_dim)));
        } else {
          part.rows[i] = rows[indices[i]];
        }
      }
      at += indices.size();
      Submit(std::move(part));
    }
  }

  static DecodeError DecodeSplit(ServedSection& whole,
                                 const TableConfig& table) {
    absl::Status crc = wire::CheckCrc(whole.data->rope, whole.section);
    if (!crc.ok()) return {crc, wire::Reason::kChecksum};
    if (whole.keys.empty()) {
      return {absl::InvalidArgumentError("no keys"), wire::Reason::kKeys};
    }
    DecodeError error = DecodeKeyBlock(whole);
    if (!error.status.ok() || whole.is_pull) return error;
    error = CheckExtras(whole, table);
    if (error.status.ok()) error = DecodeRows(whole, table.dim);
    if (!error.status.ok()) return error;
    // Here and not only per shard, so that no other shard applies its part.
    return {CheckFinite(table, whole.keys, whole.rows.data(),
                        whole.header().with_pulled(), whole.header().initial(),
                        *whole.codec),
            wire::Reason::kNonFinite};
  }

  ServedSection Part(const ServedSection& whole, ShardId shard, size_t at,
                     size_t n) {
    ServedSection part;
    part.data = whole.data;
    part.section = whole.section;
    part.section.header.shard = shard;
    part.section.header.present &= ~wire::kCrc32c;  // checked as a whole
    part.is_pull = whole.is_pull;
    part.follows_push = whole.follows_push;
    part.deadline = whole.deadline;
    part.out_dim = whole.out_dim;
    part.codec = whole.codec;
    part.seams = whole.seams;
    part.decoded = true;
    part.shard = context_.shards[shard];
    part.keys = whole.keys.subspan(at, n);
    if (!whole.is_pull) part.rows = whole.rows.subspan(at, n);
    return part;
  }

  bool Redirected(const std::map<ShardId, std::vector<size_t>>& parts,
                  wire::SectionReply& refused) {
    bool elsewhere = false;
    for (const auto& [shard, indices] : parts) {
      elsewhere |=
          context_.view.shards[shard].config.primary != context_.server_id;
    }
    if (!elsewhere) return false;
    Refuse(refused,
           absl::AbortedError("keys of other servers; nothing was done: send "
                              "each shard's keys to the address given for it"),
           wire::Reason::kWrongShard);
    redirects_ += parts.size();
    if (redirects_ > kRedirectsMax) {
      refused.message =
          "keys of other servers, more than one answer has addresses for; "
          "nothing was done: send fewer sections";
      return true;
    }
    for (const auto& [shard, indices] : parts) {
      refused.redirects.push_back({shard, context_.view.shards[shard].address});
    }
    return true;
  }

  const PlanContext& context_;
  const std::shared_ptr<RequestData>& data_;
  ServedRequest& served_;
  Space space_;
  size_t redirects_ = 0;  // of all sections
};

}  // namespace

void PlanSections(const wire::RequestView& request, const PlanContext& context,
                  const std::shared_ptr<RequestData>& data,
                  ServedRequest& served) {
  // Tasks must not move once a shard has them: reserve the most there can be.
  size_t tasks = 0;
  auto count = [&](const wire::SectionView& section) {
    size_t n = section.keys.size / sizeof(Key);
    tasks += section.header.has(wire::kShard)
                 ? 1
                 : std::min(n, context.shards.size());
  };
  for (const wire::SectionView& section : request.push) count(section);
  for (const wire::SectionView& section : request.pull) count(section);
  served.tasks.reserve(tasks);

  Planner planner(context, data, served);
  for (const wire::SectionView& section : request.push) {
    planner.Add(section, /*is_pull=*/false);
  }
  for (const wire::SectionView& section : request.pull) {
    planner.Add(section, /*is_pull=*/true);
  }
}

size_t PulledBytes(const wire::RequestView& request, const ClusterView& view) {
  size_t bytes = 0;
  for (const wire::SectionView& section : request.pull) {
    const auto codec = FindCodec(section.header.codec);
    if (!codec.ok()) continue;  // refused
    bytes += AnswerBytes(section, **codec, DimOf(view, section.header.table));
  }
  return bytes;
}

}  // namespace paramo
