#include "common/wire/generated.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/wire/layout.h"
#include "paramo/v1/data.pb.h"

namespace paramo::wire {
namespace {

constexpr int kPushField = 6;
constexpr int kPullField = 7;
constexpr int kRedirectsField = 19;

// Counts what repeats before anything is built from it: an empty section, or
// the redirect of one, is two or three bytes on the wire and up to 200 as an
// object.
class RepeatedCounter {
 public:
  // What is no protobuf is let through: the parser will tell.
  absl::Status Count(const Rope& rope) {
    Cursor cursor(rope);
    return Walk(cursor, /*end=*/rope.size(), /*in_section=*/false);
  }

 private:
  absl::Status Walk(Cursor& cursor, size_t end, bool in_section) {
    while (cursor.offset() < end) {
      uint64_t varint;
      uint64_t size = 0;
      if (!cursor.TakeVarint(varint)) break;
      // As the parser has it, which drops what lies above 32 bits.
      const auto tag = static_cast<uint32_t>(varint);
      switch (tag & 7) {
        case kFixed64:
          size = 8;
          break;
        case kFixed32:
          size = 4;
          break;
        case kBytes:
          if (!cursor.TakeVarint(size)) return absl::OkStatus();
          if (size > cursor.left()) return absl::OkStatus();
          if (!in_section &&
              (tag == BytesTag(kPushField) || tag == BytesTag(kPullField))) {
            ++sections_;
            PARAMO_RETURN_IF_ERROR(
                Walk(cursor, cursor.offset() + size, /*in_section=*/true));
            size = 0;
          }
          if (in_section && tag == BytesTag(kRedirectsField)) ++redirects_;
          break;
        case 0:
          if (uint64_t value; !cursor.TakeVarint(value))
            return absl::OkStatus();
          break;
        default:
          return absl::InvalidArgumentError(
              "not a paramo.v1 message: groups are not used");
      }
      PARAMO_RETURN_IF_ERROR(CheckCounts());
      if (!cursor.Skip(size)) break;
    }
    return absl::OkStatus();
  }

  absl::Status CheckCounts() const {
    if (sections_ > kSectionsMax) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "more than ", kSectionsMax, " sections in one message; split it"));
    }
    if (redirects_ > kRedirectsMax) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "more than ", kRedirectsMax, " redirects in one message"));
    }
    return absl::OkStatus();
  }

  size_t sections_ = 0;
  size_t redirects_ = 0;
};

// Parses `rope` with generated code.
template <typename Proto>
absl::Status Parse(const Rope& rope, Proto& proto) {
  if (rope.size() > kMessageBytesMax) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "message of ", rope.size(), " bytes; the limit is ", kMessageBytesMax));
  }
  PARAMO_RETURN_IF_ERROR(RepeatedCounter().Count(rope));
  std::string bytes = rope.Flatten();
  if (!proto.ParseFromString(bytes)) {
    return absl::InvalidArgumentError(
        "the message is not a valid paramo.v1 message (see data.proto)");
  }
  return absl::OkStatus();
}

// Gathers the blocks of a parsed message into one new rope.
class BlockCollector {
 public:
  ByteRange Add(const std::string& block) {
    ByteRange range{bytes_.size(), block.size()};
    bytes_.append(block);
    return range;
  }
  Rope Take() { return Rope::FromString(std::move(bytes_)); }

 private:
  std::string bytes_;
};

Hello FromProto(const v1::Hello& proto) {
  Hello hello;
  hello.protocol_min = proto.protocol_min();
  hello.protocol_max = proto.protocol_max();
  hello.cluster_id = proto.cluster_id();
  hello.cluster_incarnation = proto.cluster_incarnation();
  hello.server_id = proto.server_id();
  hello.server_incarnation = proto.server_incarnation();
  hello.build = proto.build();
  hello.shm_directory = proto.shm_directory();
  hello.shm_token = proto.shm_token();
  hello.key_lists = proto.key_lists();
  return hello;
}

void ToProto(const Hello& hello, v1::Hello& proto) {
  proto.set_protocol_min(hello.protocol_min);
  proto.set_protocol_max(hello.protocol_max);
  proto.set_cluster_id(hello.cluster_id);
  proto.set_cluster_incarnation(hello.cluster_incarnation);
  proto.set_server_id(hello.server_id);
  proto.set_server_incarnation(hello.server_incarnation);
  proto.set_build(hello.build);
  proto.set_shm_directory(hello.shm_directory);
  proto.set_shm_token(hello.shm_token);
  proto.set_key_lists(hello.key_lists);
}

// Keys themselves, or all that stands for them.
absl::Status CheckKeyList(const v1::Section& section) {
  const int fields = section.has_key_list_low() + section.has_key_list_high() +
                     section.has_key_list_count();
  if (fields == 0 || (fields == 3 && !section.has_keys())) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      "a section has either keys or key_list_low, key_list_high and "
      "key_list_count");
}

SectionView FromProto(const v1::Section& proto, BlockCollector& blocks) {
  SectionView view;
  SectionHeader& h = view.header;
  h.present = 0;
  auto take = [&h](bool has, SectionField bit, auto value, auto& field) {
    if (!has) return;
    h.present |= bit;
    field = value;
  };
  take(proto.has_shard(), kShard, proto.shard(), h.shard);
  take(proto.has_epoch(), kEpoch, proto.epoch(), h.epoch);
  take(proto.has_history(), kHistory, proto.history(), h.history);
  take(proto.has_session(), kSession, proto.session(), h.session);
  take(proto.has_session_epoch(), kSessionEpoch, proto.session_epoch(),
       h.session_epoch);
  take(proto.has_seq(), kSeq, proto.seq(), h.seq);
  take(proto.has_clock(), kClock, proto.clock(), h.clock);
  take(proto.has_examples(), kExamples, proto.examples(), h.examples);
  take(proto.has_colour(), kColour, proto.colour(), h.colour);
  take(proto.has_table(), kTable, proto.table(), h.table);
  take(proto.has_table_version(), kTableVersion, proto.table_version(),
       h.table_version);
  take(proto.has_codec(), kCodec, proto.codec(), h.codec);
  take(proto.has_flags(), kFlags, proto.flags(), h.flags);
  take(proto.has_data_position(), kDataPosition, proto.data_position(),
       h.data_position);
  take(proto.has_floor_epoch(), kFloorEpoch, proto.floor_epoch(),
       h.floor_epoch);
  take(proto.has_floor_lsn(), kFloorLsn, proto.floor_lsn(), h.floor_lsn);
  take(proto.has_payload_hash_low(), kPayloadHashLow, proto.payload_hash_low(),
       h.payload_hash_low);
  take(proto.has_payload_hash_high(), kPayloadHashHigh,
       proto.payload_hash_high(), h.payload_hash_high);
  take(proto.has_crc32c(), kCrc32c, proto.crc32c(), h.crc32c);
  view.keys = blocks.Add(proto.keys());
  if (proto.has_key_list_low()) {
    view.list = {{proto.key_list_low(), proto.key_list_high()},
                 proto.key_list_count()};
  }
  view.values = blocks.Add(proto.values());
  return view;
}

SectionReplyView FromProto(const v1::SectionReply& proto,
                           BlockCollector& blocks) {
  SectionReplyView view;
  SectionReplyHeader& h = view.header;
  h.shard = proto.shard();
  h.code = proto.code();
  h.outcome = proto.outcome();
  h.reason = proto.reason();
  h.epoch = proto.epoch();
  h.history = proto.history();
  h.lsn = proto.lsn();
  h.clock = proto.clock();
  h.colour = proto.colour();
  h.replicas = proto.replicas();
  h.rows_skipped = proto.rows_skipped();
  h.retry_after_ms = proto.retry_after_ms();
  h.expected_seq = proto.expected_seq();
  h.table_version = proto.table_version();
  h.codec = proto.codec();
  h.crc32c = proto.crc32c();
  view.message = proto.message();
  view.values = blocks.Add(proto.values());
  for (const v1::Redirect& redirect : proto.redirects()) {
    view.redirects.push_back({redirect.shard(), redirect.address()});
  }
  return view;
}

template <typename Proto>
Message Serialize(const Proto& proto) {
  Buffer buffer(proto.ByteSizeLong());
  proto.SerializeWithCachedSizesToArray(buffer.data());
  Message message;
  message.push_back(std::move(buffer));
  return message;
}

}  // namespace

absl::Status ParseGenerated(const Rope& rope, RequestView& view) {
  v1::Request proto;
  PARAMO_RETURN_IF_ERROR(Parse(rope, proto));
  view.id = proto.id();
  view.cluster = proto.cluster();
  view.deadline_ms = proto.deadline_ms();
  if (proto.has_hello()) view.hello = FromProto(proto.hello());
  BlockCollector blocks;
  for (const v1::Section& section : proto.push()) {
    PARAMO_RETURN_IF_ERROR(CheckKeyList(section));
    view.push.push_back(FromProto(section, blocks));
  }
  for (const v1::Section& section : proto.pull()) {
    PARAMO_RETURN_IF_ERROR(CheckKeyList(section));
    view.pull.push_back(FromProto(section, blocks));
  }
  view.rope = blocks.Take();
  return absl::OkStatus();
}

absl::Status ParseGenerated(const Rope& rope, ReplyView& view) {
  v1::Reply proto;
  PARAMO_RETURN_IF_ERROR(Parse(rope, proto));
  view.id = proto.id();
  view.code = proto.code();
  view.reason = proto.reason();
  view.state_version = proto.state_version();
  view.message = proto.message();
  view.parked_us = proto.parked_us();
  view.retry_after_ms = proto.retry_after_ms();
  if (proto.has_hello()) view.hello = FromProto(proto.hello());
  BlockCollector blocks;
  for (const v1::SectionReply& section : proto.push()) {
    view.push.push_back(FromProto(section, blocks));
  }
  for (const v1::SectionReply& section : proto.pull()) {
    view.pull.push_back(FromProto(section, blocks));
  }
  view.rope = blocks.Take();
  return absl::OkStatus();
}

Message WriteHelloRequest(uint64_t id, const Hello& hello) {
  v1::Request proto;
  proto.set_id(id);
  ToProto(hello, *proto.mutable_hello());
  return Serialize(proto);
}

Message WriteReply(uint64_t id, uint32_t code, Reason reason,
                   uint64_t state_version, const std::string& message,
                   const Hello* hello) {
  v1::Reply proto;
  proto.set_id(id);
  proto.set_code(code);
  proto.set_reason(static_cast<uint32_t>(reason));
  proto.set_state_version(state_version);
  proto.set_message(message.substr(0, kErrorBytesMax));
  if (reason == Reason::kOverloaded) proto.set_retry_after_ms(kRetryAfterMs);
  if (hello != nullptr) ToProto(*hello, *proto.mutable_hello());
  return Serialize(proto);
}

}  // namespace paramo::wire
