// An envelope, and what lies in shared memory for it: as a server gets them
// from a client, and as a client gets them from a server. Real memory, both
// ends of it in this process, on one lane for all inputs. Oracles: an envelope
// is what writing gives back; a request is taken exactly when its bytes lie in
// this stream's lane with their seal, and then it is a copy; a reply goes where
// the request says and nowhere else, or not at all; a client reads a reply
// exactly when it fits its room, whole and of its request.
#include "common/wire/envelope.h"

#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <optional>

#include "common/hash/crc32c.h"
#include "common/transport/incoming_call.h"
#include "common/transport/shm_client.h"
#include "common/transport/shm_lanes.h"
#include "common/transport/shm_receiver.h"
#include "common/wire/layout.h"
#include "common/wire/reply.h"
#include "common/wire/seal.h"
#include "tests/fuzz/fuzz_input.h"

namespace paramo {
namespace {

constexpr size_t kLaneBytes = 4 << 12;
constexpr size_t kLaneAt = 10;  // in a request's envelope: behind id and tag
constexpr size_t kIdBytes = 9;  // in front of a message

std::string BytesOf(const Message& message) {
  std::string bytes;
  for (const Buffer& block : message)
    bytes.append(reinterpret_cast<const char*>(block.data()), block.size());
  return bytes;
}

// Both ends of a lane, and a stream that has claimed it.
struct Lane {
  Lane() {
    char directory[] = "/tmp/paramo-fuzz-XXXXXX";
    PARAMO_CHECK(mkdtemp(directory) != nullptr);
    ShmLanes::Options options;
    options.directory = directory;
    options.lane_bytes = kLaneBytes;
    auto started = ShmLanes::Start(options, metrics);
    PARAMO_CHECK(started.ok());
    lanes = *std::move(started);
    auto connected = ShmClient::Connect(directory, lanes->token());
    PARAMO_CHECK(connected.ok());
    client = *std::move(connected);
    std::filesystem::remove_all(directory);  // nobody else is to come

    Message all;
    all.push_back(*client->Make(kLaneBytes - wire::kSealBytes, 0));
    memory = all[0].data();
    const std::string envelope = BytesOf(client->Find(all)->Seal(1));
    name = wire::ReadShmRequest(Rope::FromString(envelope))->lane;
    Rope message = Rope::FromString(envelope);
    std::shared_ptr<ReplySink> sink;
    // Refused for what lies there, which is no request, but its own now.
    stream.emplace(lanes.get());
    PARAMO_CHECK(absl::IsDataLoss(stream->Fetch(message, sink)));
  }

  MetricsRegistry metrics;
  std::unique_ptr<ShmLanes> lanes;
  std::shared_ptr<ShmClient> client;
  std::optional<ShmReceiver> stream;
  uint8_t* memory = nullptr;  // as the client has it
  uint64_t name = 0;
};

// What goes over the stream in the end.
class Sink final : public ReplySink {
 public:
  void Reply(Message reply) override { sent = BytesOf(reply); }
  void Fail(const absl::Status&) override { PARAMO_CHECK(false); }
  bool cancelled() const override { return false; }
  std::string peer() const override { return "fuzz"; }

  std::optional<std::string> sent;
};

// Whether the bytes are a message of that id with its seal, by the words of
// docs/formats/wire.md.
bool IsWhole(const std::string& bytes, uint64_t id) {
  if (bytes.size() < wire::kSealBytes) return false;
  const size_t size = bytes.size() - wire::kSealBytes;
  uint32_t crc;
  std::memcpy(&crc, bytes.data() + size + 1, sizeof crc);
  return bytes[size] == 0x7d && crc == Crc32c(bytes.data(), size) &&
         wire::PeekId(Rope::FromString(bytes.substr(0, size))) == id;
}

// Makes [offset, offset + bytes) of the memory a message of that id.
void MakeWhole(uint8_t* memory, uint64_t offset, uint64_t bytes, uint64_t id) {
  if (offset + bytes > kLaneBytes || bytes < kIdBytes + wire::kSealBytes)
    return;
  wire::PutFixed(memory + offset, 1, id);
  wire::Seal(memory + offset, bytes - wire::kSealBytes);
}

// What an input says of the message in shared memory, which it cannot seal.
enum class Laid { kAsIs, kWhole, kOfAnotherId };

void Lay(Laid laid, uint8_t* memory, uint64_t offset, uint64_t bytes,
         uint64_t id) {
  if (laid == Laid::kAsIs) return;
  MakeWhole(memory, offset, bytes, laid == Laid::kWhole ? id : ~id);
}

std::string Content(const Lane& lane) {
  return {reinterpret_cast<const char*>(lane.memory), kLaneBytes};
}

bool HasTags(const std::string& message, size_t size,
             std::initializer_list<std::pair<size_t, uint8_t>> tags) {
  if (message.size() != size) return false;
  return std::all_of(tags.begin(), tags.end(), [&](const auto& tag) {
    return static_cast<uint8_t>(message[tag.first]) == tag.second;
  });
}

// ---- As a server ------------------------------------------------------------

// The answer to a request that was taken. `before` is what lies in the lane.
void Answer(Lane& lane, const wire::ShmRequest& request, size_t bytes,
            const std::string& before, ReplySink& to, const Sink& sink) {
  const std::string reply(bytes, 'r');
  Message message;
  for (const size_t size : {bytes / 2, bytes - bytes / 2}) {
    message.emplace_back(size);
    std::memset(message.back().data(), 'r', size);
  }
  to.Reply(std::move(message));
  PARAMO_CHECK(sink.sent.has_value());
  std::string after = before;
  if (bytes + wire::kSealBytes <= request.reply_bytes) {
    std::string sealed(bytes + wire::kSealBytes, 'r');
    wire::Seal(reinterpret_cast<uint8_t*>(sealed.data()), bytes);
    after.replace(request.reply_offset, sealed.size(), sealed);
    const auto size = static_cast<uint32_t>(sealed.size());
    PARAMO_CHECK(*sink.sent ==
                 BytesOf(wire::WriteShmReply({request.id, size})));
  } else {
    PARAMO_CHECK(*sink.sent == reply);
  }
  PARAMO_CHECK(Content(lane) == after);
}

// How many bytes an answer has: about as many as there is room for, or some.
size_t ReplyBytes(const wire::ShmRequest& request, size_t choice) {
  const size_t least = wire::kSealBytes + 1;
  if (choice >= 2 * least || request.reply_bytes < least) return choice;
  return request.reply_bytes - least + choice;
}

void AsServer(Lane& lane, const std::string& message, size_t piece,
              size_t reply_choice, Laid laid) {
  const auto request = wire::ReadShmRequest(fuzz::Sliced(message, piece));
  PARAMO_CHECK(request.has_value() == HasTags(message, 38,
                                              {{0, 0x09},
                                               {9, 0x41},
                                               {18, 0x4d},
                                               {23, 0x55},
                                               {28, 0x5d},
                                               {33, 0x65}}));
  Rope rope = fuzz::Sliced(message, piece);
  const auto sink = std::make_shared<Sink>();
  std::shared_ptr<ReplySink> to = sink;
  if (!request.has_value()) {
    PARAMO_CHECK(lane.stream->Fetch(rope, to).ok());
    PARAMO_CHECK(rope.Flatten() == message && to == sink);
    return;
  }
  PARAMO_CHECK(BytesOf(wire::WriteShmRequest(*request)) == message);
  for (ShmLanes* lanes : {lane.lanes.get(), static_cast<ShmLanes*>(nullptr)}) {
    ShmReceiver stranger(lanes);
    Rope copy = rope;
    PARAMO_CHECK(absl::IsInvalidArgument(stranger.Fetch(copy, to)));
  }

  Lay(laid, lane.memory, request->offset, request->bytes, request->id);
  const std::string before = Content(lane);
  const absl::Status status = lane.stream->Fetch(rope, to);
  PARAMO_CHECK(Content(lane) == before);
  const auto within = [](uint64_t offset, uint64_t bytes) {
    return offset + bytes <= kLaneBytes;
  };
  if (request->lane != lane.name || !within(request->offset, request->bytes) ||
      !within(request->reply_offset, request->reply_bytes)) {
    PARAMO_CHECK(absl::IsInvalidArgument(status) && to == sink);
    return;
  }
  std::string taken = before.substr(request->offset, request->bytes);
  if (!IsWhole(taken, request->id)) {
    PARAMO_CHECK(absl::IsDataLoss(status) && to == sink);
    return;
  }
  PARAMO_CHECK(status.ok() && to != sink);
  taken.resize(taken.size() - wire::kSealBytes);
  PARAMO_CHECK(rope.Flatten() == taken);
  for (size_t i = 0; i < kLaneBytes; ++i) lane.memory[i] ^= 0xff;
  PARAMO_CHECK(rope.Flatten() == taken);
  Answer(lane, *request, ReplyBytes(*request, reply_choice), Content(lane), *to,
         *sink);
}

// ---- As a client ------------------------------------------------------------

void AsClient(Lane& lane, const std::string& message, size_t piece,
              size_t choice, Laid laid) {
  const auto envelope = wire::ReadShmReply(fuzz::Sliced(message, piece));
  PARAMO_CHECK(envelope.has_value() ==
               HasTags(message, 14, {{0, 0x09}, {9, 0x5d}}));
  if (!envelope.has_value()) return;
  PARAMO_CHECK(BytesOf(wire::WriteShmReply(*envelope)) == message);

  const size_t room = 8 * choice;
  const size_t at = choice + wire::kSealBytes;
  Message request;
  request.push_back(*lane.client->Make(/*bytes=*/choice, room));
  PARAMO_CHECK(request[0].data() == lane.memory);  // all else is free
  Lay(laid, lane.memory, at, envelope->bytes, envelope->id);
  const std::string before = Content(lane);
  auto reply = ShmBlock::ReadReply(lane.client->Find(request), *envelope);
  PARAMO_CHECK(Content(lane) == before);
  const bool fits = envelope->bytes <= room;
  std::string expected = fits ? before.substr(at, envelope->bytes) : "";
  PARAMO_CHECK(reply.has_value() == (fits && IsWhole(expected, envelope->id)));
  if (!reply.has_value()) return;
  expected.resize(expected.size() - wire::kSealBytes);
  PARAMO_CHECK(reply->Flatten() == expected);
  // It keeps its place until it goes.
  request.clear();
  PARAMO_CHECK(lane.client->Make(0, 0)->data() != lane.memory);
  reply.reset();
  PARAMO_CHECK(lane.client->Make(0, 0)->data() == lane.memory);
}

}  // namespace
}  // namespace paramo

// Envelope, what lies in the lane, and three choices.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace paramo;
  static Lane* const lane = new Lane;
  SetLog(LogLevel::kError, "fuzz");
  fuzz::Input input(data, size);
  const size_t piece = 1 + input.Choice(256);
  const size_t reply = input.Choice(256);
  const size_t flags = input.Choice(256);
  const size_t sizes[] = {38, 14, reply, size};
  std::string message = input.Take(sizes[flags % 4]);
  const bool own = (flags & 4) != 0;  // an input cannot know the lane's name
  const auto laid = static_cast<Laid>(flags / 8 % 3);
  if (own && message.size() >= kLaneAt + sizeof lane->name)
    std::memcpy(message.data() + kLaneAt, &lane->name, sizeof lane->name);
  std::string content = input.Rest();
  content.resize(kLaneBytes);
  std::memcpy(lane->memory, content.data(), kLaneBytes);
  AsServer(*lane, message, piece, reply, laid);
  std::memcpy(lane->memory, content.data(), kLaneBytes);
  AsClient(*lane, message, piece, reply, laid);
  return 0;
}
