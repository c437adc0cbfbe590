#include "tests/fuzz/corpus_messages.h"

#include <zlib.h>

#include <cstdint>
#include <cstring>

#include "common/base/check.h"
#include "common/routing/routing.h"
#include "common/wire/reply.h"
#include "common/wire/request.h"
#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/data.pb.h"

namespace paramo::fuzz {
namespace {

std::string Bytes(const Message& message) {
  std::string bytes;
  for (const Buffer& buffer : message) {
    bytes.append(reinterpret_cast<const char*>(buffer.data()), buffer.size());
  }
  return bytes;
}

std::string Floats(size_t count, float value) {
  std::string bytes(4 * count, '\0');
  for (size_t i = 0; i < count; ++i) {
    std::memcpy(bytes.data() + 4 * i, &value, 4);
  }
  return bytes;
}

std::string Keys(const std::vector<Key>& keys) {
  return {reinterpret_cast<const char*>(keys.data()), 8 * keys.size()};
}

// The first two keys of shard 0 of two, where data_service has both.
std::vector<Key> TwoKeys(TableId table) {
  std::vector<Key> keys;
  for (Key key = 0; keys.size() < 2; ++key) {
    if (ShardOf(table, key, 2) == 0) keys.push_back(key);
  }
  return keys;
}

wire::SectionHeader Header(TableId table) {
  wire::SectionHeader header;
  header.epoch = 1;
  header.history = 7;
  header.table = table;
  header.table_version = 1;
  return header;
}

// One section, as data_service takes it, in the canonical encoding.
std::string Request(wire::SectionHeader header, bool is_pull,
                    const std::vector<Key>& keys, size_t floats) {
  wire::RequestWriter writer(/*id=*/3, /*cluster=*/77, /*deadline_ms=*/1000);
  if (is_pull) {
    writer.AddPull(header, keys.size());
  } else {
    writer.AddPush(header, keys.size(), 4 * floats);
  }
  writer.Allocate();
  std::memcpy(writer.keys(0), keys.data(), 8 * keys.size());
  if (!is_pull) {
    std::memcpy(writer.values(0), Floats(floats, 0.5f).data(), 4 * floats);
  }
  writer.Seal(0);
  return Bytes(writer.Take());
}

std::string PushOf(SessionId session, SeqNo seq, uint32_t flags) {
  wire::SectionHeader header = Header(1);
  header.session = session;
  header.session_epoch = 1;
  header.seq = seq;
  header.flags = flags;
  header.examples = 1;
  return Request(header, /*is_pull=*/false, TwoKeys(1), 4);
}

// From a client that leaves out what it does not know, the shard included.
std::string SimpleRequest(bool is_pull) {
  v1::Request request;
  v1::Section* section = is_pull ? request.add_pull() : request.add_push();
  section->set_table(1);
  section->set_keys(Keys({1, 2, 3}));
  if (!is_pull) section->set_values(Floats(6, 1));
  return request.SerializeAsString();
}

std::string Hello() {
  wire::Hello hello;
  hello.cluster_id = 77;
  hello.build = "fuzz";
  return Bytes(wire::WriteHelloRequest(1, hello));
}

// One turn of data_service: length, request, choices.
std::string Turn(const std::string& request, bool first) {
  std::string turn;
  turn.push_back(static_cast<char>(request.size()));
  turn.push_back(static_cast<char>(request.size() >> 8));
  turn += request;
  turn.push_back(2);  // sealed again
  turn.push_back(0);  // a stream
  turn.push_back(first ? 31 : 0);
  return turn;
}

std::string BigEndian(uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) {
    bytes.push_back(static_cast<char>(value >> shift));
  }
  return bytes;
}

v1::ClusterState State(uint32_t shards) {
  v1::ClusterState state;
  state.set_cluster_id(1);
  state.set_version(3);
  state.set_shard_count(shards);
  v1::Server* server = state.add_servers();
  server->set_id(1);
  server->set_address("a:1");
  for (uint32_t id = 0; id < shards; ++id) {
    v1::Shard* shard = state.add_shards();
    shard->set_id(id);
    shard->set_epoch(1);
    shard->set_primary(1);
  }
  return state;
}

void AddTable(v1::ClusterState& state, const char* rule) {
  v1::Table* table = state.add_tables();
  table->set_id(static_cast<uint32_t>(state.tables_size()));
  table->set_version(1);
  v1::TableSpec* spec = table->mutable_spec();
  spec->set_name("t");
  spec->set_dim(4);
  spec->mutable_rule()->set_name(rule);
  (*spec->mutable_rule()->mutable_params())["lr"] = 0.1;
  spec->mutable_initializer()->set_kind(v1::Initializer::UNIFORM);
  spec->mutable_initializer()->set_a(0.5);
  spec->mutable_non_finite()->set_policy(v1::NonFinite::CLIP);
  spec->mutable_non_finite()->set_clip(10);
  spec->mutable_clipping()->set_norm(5);
  spec->mutable_schedule()->set_kind(v1::Schedule::COSINE);
  spec->mutable_schedule()->set_period(100);
}

}  // namespace

std::string Gzip(const std::string& bytes) {
  z_stream stream = {};
  PARAMO_CHECK(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8,
                            Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  PARAMO_CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

Seeds ClusterStates() {
  v1::ClusterState tables = State(2);
  for (const char* rule : {"sgd", "adagrad", "adam", "ftrl"}) {
    AddTable(tables, rule);
  }
  v1::ClusterState jobs = State(1);
  for (int kind = 0; kind < 4; ++kind) {
    v1::JobState* job = jobs.add_jobs();
    job->set_id(static_cast<uint32_t>(kind));
    job->mutable_sync()->set_kind(static_cast<v1::Sync::Kind>(kind));
    job->mutable_sync()->set_quorum(1);
    job->add_members()->set_session(9);
  }
  v1::ClusterState starting = State(4);
  starting.mutable_shards(2)->set_primary(0);
  return {tables.SerializeAsString(), jobs.SerializeAsString(),
          starting.SerializeAsString()};
}

Seeds Conversations() {
  wire::SectionHeader pulled = Header(2);
  pulled.flags = wire::kFlagWithPulled;
  wire::SectionHeader pull = Header(1);
  const std::string pull_rows = Request(pull, true, TwoKeys(1), 0);
  pull.session = 9;
  pull.session_epoch = 1;
  pull.clock = 1;
  const std::string pull_next = Request(pull, true, TwoKeys(1), 0);
  const std::string sync[] = {std::string(1, '\0'), "\1", "\2", "\3"};
  Seeds seeds;
  for (const std::string& kind : sync) {
    seeds.push_back(Turn(Hello(), true) + Turn(PushOf(9, 1, 0), false) +
                    Turn(PushOf(9, 2, wire::kFlagEndOfClock), false) +
                    Turn(pull_next, false) + kind);
  }
  seeds.push_back(Turn(PushOf(5, 2, 0), false) + Turn(PushOf(5, 1, 0), false) +
                  Turn(PushOf(5, 1, 0), false) + sync[0]);
  seeds.push_back(Turn(SimpleRequest(false), false) +
                  Turn(SimpleRequest(true), false) + sync[0]);
  seeds.push_back(Turn(Request(pulled, false, TwoKeys(2), 8), false) +
                  Turn(pull_rows, false) + sync[0]);
  return seeds;
}

Seeds Files() {
  const std::string text = "0123456789 0123456789 0123456789\n";
  std::string cut = Gzip(text);
  cut.resize(cut.size() - 5);
  return {text + "\7",
          Gzip(text) + "\3",
          Gzip(text) + Gzip("more") + "\7",
          Gzip(text) + "trailing",
          cut,
          Gzip(std::string(5000, 'x')) + "\xff"};
}

Seeds Images() {
  const std::string pixels = "abcdefghijkl";
  const std::string header =
      BigEndian(0x803) + BigEndian(3) + BigEndian(2) + BigEndian(2);
  return {header + pixels + "\3", Gzip(header + pixels) + "\3",
          header + "short\3",
          BigEndian(0x803) + BigEndian(~0u) + BigEndian(~0u) + BigEndian(~0u) +
              "\3",
          BigEndian(0x801) + BigEndian(3) + "abc\3"};
}

// Scale 0.5, then -1 and 127.
std::string Int8Row() { return std::string("\0\0\0\x3f\xff\x7f", 6); }

// Blocks, then: bytes of keys, piece, codec, flags, shard, shards, delay
// compensation, dimension (all less what the target adds).
Seeds Sections() {
  const std::string keys = Keys({1, 2, 3});
  return {keys + Floats(6, 1) + std::string("\x18\x07\0\0\0\0\0\1", 8),
          keys + Floats(12, 1) + std::string("\x18\x3f\0\2\0\0\1\1", 8),
          keys + Floats(3, 1) + std::string("\x18\x00\0\1\0\0\0\0", 8),
          keys + Floats(6, 1) + std::string("\x18\x07\5\0\1\1\0\1", 8),
          std::string("\0\0\0\0\0\0\0\0", 8),
          // Three rows of dim 2 in int8 and in bf16, on the one shard there is.
          keys + Int8Row() + Int8Row() + Int8Row() +
              std::string("\x18\x07\3\0\0\0\0\1", 8),
          keys + std::string(12, '\x3f') +
              std::string("\x18\x07\2\0\0\0\0\1", 8)};
}

Seeds WireReplies() {
  auto write = [](uint32_t code, const std::string& words) {
    wire::ReplyWriter writer(3, 5, /*push_count=*/2, {24, 24});
    std::memcpy(writer.values(0), Floats(6, 1).data(), 24);
    std::memcpy(writer.values(1), Floats(6, 2).data(), 24);
    std::vector<wire::SectionReply> push(2), pull(2);
    push[1].header.code = pull[1].header.code = code;
    push[1].message = words;
    if (code != 0) push[1].redirects.push_back({1, "a:1"});
    return Bytes(writer.Take(absl::MakeSpan(push), absl::MakeSpan(pull)));
  };
  wire::Hello hello;
  hello.server_id = 1;
  return {write(0, "") + "\xff", write(10, "refresh") + "\x06",
          Bytes(wire::WriteReply(3, 8, wire::Reason::kOverloaded, 5,
                                 "try again", nullptr)),
          Bytes(wire::WriteReply(1, 0, wire::Reason::kNone, 5, "", &hello))};
}

// The last byte cuts them into pieces.
Seeds WireRequests() {
  return {PushOf(9, 1, wire::kFlagEndOfClock) + "\xff",
          PushOf(9, 2, 0) + "\x06",
          Request(Header(1), true, TwoKeys(1), 0) + "\x3f",
          SimpleRequest(false) + "\xff",
          SimpleRequest(true) + "\x01",
          Hello() + "\xff",
          std::string("\x32\xff\xff\xff\xff\x07", 6)};
}

}  // namespace paramo::fuzz
