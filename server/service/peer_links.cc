#include "server/service/peer_links.h"

#include <cstring>
#include <utility>

#include "common/base/build.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/wire/layout.h"
#include "common/wire/reply.h"
#include "common/wire/request.h"

namespace paramo {
namespace {

constexpr char kMethod[] = "/paramo.v1.Data/Replicate";

// Wire messages on the way to one server: one being written, one being read.
constexpr int kInFlightMax = 4;
// What is less than this waits for the answer to what is under way (as Nagle's
// rule has it): a message costs some 50 us of both ends whatever is in it, and
// a request to many shards makes one for each. 64 KiB: 15 us of copying.
constexpr size_t kSmallBytes = 64 << 10;

// An answer says only that the message was taken.
constexpr absl::Duration kSendTimeout = absl::Seconds(2);

// Fields of PeerRequest.
constexpr int kIdField = 1;
constexpr int kClusterField = 2;
constexpr int kFromServerField = 3;
constexpr int kFromIncarnationField = 5;
constexpr int kToIncarnationField = 6;
constexpr int kMessagesField = 7;
constexpr int kCheckpointField = 8;

// A part is stored before it is answered.
constexpr absl::Duration kCheckpointTimeout = absl::Seconds(30);

// Tags, numbers and lengths of a PeerRequest.
constexpr size_t kHeadBytesMax = 64;

// Whatever a log holds can be sent to a replica.
static_assert(kLogPayloadBytesMax + kPeerMessageOverheadBytes + kHeadBytesMax <=
              kMessageBytesMax);

size_t BytesOf(const PeerMessage& message) {
  size_t bytes = 128;
  for (const SentRecord& sent : message.records) bytes += sent.record.bytes();
  return bytes;
}

}  // namespace

PeerLinks::PeerLinks(int threads) : executor_(threads) {}

PeerLinks::~PeerLinks() { Stop(); }

void PeerLinks::Stop() {
  std::map<uint32_t, std::shared_ptr<Link>> links;
  {
    MutexLock lock(mu_);
    stopped_ = true;
    links = std::exchange(links_, {});
  }
  for (auto& [server, link] : links) link->channel->Close();
}

void PeerLinks::SetIdentity(const ServerIdentity& identity) {
  MutexLock lock(mu_);
  identity_ = identity;
}

void PeerLinks::SetAddresses(const std::map<uint32_t, std::string>& addresses) {
  MutexLock lock(mu_);
  addresses_ = addresses;
}

// A server that came back, elsewhere or in another life, gets a new link.
std::shared_ptr<PeerLinks::Link> PeerLinks::LinkTo(const ReplicaId& to) {
  std::shared_ptr<Link> old;  // closed without mu_, which its answers take
  MutexLock lock(mu_);
  auto address = addresses_.find(to.server);
  if (stopped_ || address == addresses_.end()) return nullptr;
  std::shared_ptr<Link>& link = links_[to.server];
  if (link != nullptr && link->to == to &&
      link->channel->address() == address->second) {
    return link;
  }
  old = std::move(link);
  link = std::make_shared<Link>();
  link->to = to;
  DataChannel::Options options;
  options.address = address->second;
  options.lane = "replication";
  options.method = kMethod;
  options.hello = [identity = identity_] {
    wire::Hello hello;
    hello.cluster_id = identity.cluster_id;
    hello.cluster_incarnation = identity.cluster_incarnation;
    hello.server_id = identity.server_id;
    hello.server_incarnation = identity.incarnation;
    hello.build = kBuild;
    return wire::WriteHelloRequest(/*id=*/0, hello);
  };
  options.check_hello = [](const Rope& rope) {
    return wire::ParseReply(rope).status();
  };
  link->channel = std::make_unique<DataChannel>(executor_, std::move(options));
  return link;
}

void PeerLinks::Send(const ReplicaId& to, PeerMessage message) {
  std::shared_ptr<Link> link = LinkTo(to);
  if (link == nullptr) return;
  {
    MutexLock lock(link->mu);
    const size_t bytes = BytesOf(message);
    // Every shard has a window of its own; all of them together have this one.
    if (link->queue_bytes + bytes > kClientQueueBytesMax) return;
    link->queue_bytes += bytes;
    link->queue.push_back(std::move(message));
  }
  Pump(link);
}

void PeerLinks::Pump(const std::shared_ptr<Link>& link) {
  std::vector<PeerMessage> messages;
  {
    MutexLock lock(link->mu);
    const bool small = link->queue_bytes < kSmallBytes;
    if (link->queue.empty() || link->in_flight >= (small ? 1 : kInFlightMax)) {
      return;
    }
    size_t bytes = 0;
    size_t count = 0;
    while (count < link->queue.size() && count < kPeerMessagesMax) {
      const size_t more = BytesOf(link->queue[count]);
      if (count > 0 && bytes + more > kMessageBytesMax / 2) break;
      bytes += more;
      ++count;
    }
    auto end = link->queue.begin() + static_cast<ptrdiff_t>(count);
    messages.assign(std::make_move_iterator(link->queue.begin()),
                    std::make_move_iterator(end));
    link->queue.erase(link->queue.begin(), end);
    link->queue_bytes -= bytes;
    ++link->in_flight;
  }
  const uint64_t id = link->channel->NextId();
  link->channel->Send(
      id, Encode(*link, id, kMessagesField, EncodePeerMessages(messages)),
      kSendTimeout, [this, link](const absl::StatusOr<Rope>& reply) {
        if (absl::IsCancelled(reply.status())) return;
        {
          MutexLock lock(link->mu);
          --link->in_flight;
          // What waited is repeated when the peer answers.
          if (!reply.ok()) {
            link->queue.clear();
            link->queue_bytes = 0;
          }
        }
        Pump(link);
      });
}

void PeerLinks::SendCheckpoint(const ReplicaId& to, std::string part,
                               std::function<void(absl::Status)> done) {
  std::shared_ptr<Link> link = LinkTo(to);
  if (link == nullptr) {
    return done(absl::UnavailableError("the server's address is not known"));
  }
  const uint64_t id = link->channel->NextId();
  link->channel->Send(
      id,
      Encode(*link, id, kCheckpointField, Rope::FromString(std::move(part))),
      kCheckpointTimeout, [done](const absl::StatusOr<Rope>& bytes) {
        if (!bytes.ok()) return done(bytes.status());
        absl::StatusOr<wire::ReplyView> reply = wire::ParseReply(*bytes);
        if (!reply.ok()) return done(reply.status());
        done(absl::Status(static_cast<absl::StatusCode>(reply->code),
                          reply->message));
      });
}

Message PeerLinks::Encode(const Link& link, uint64_t id, int field,
                          const Rope& body) const {
  ServerIdentity me;
  {
    MutexLock lock(mu_);
    me = identity_;
  }
  uint8_t head[kHeadBytesMax];
  uint8_t* out = head;
  out = wire::PutFixed(out, kIdField, id);
  out = wire::PutFixed(out, kClusterField, me.cluster_id);
  out = wire::PutFixed(out, kFromServerField, me.server_id);
  out = wire::PutFixed(out, kFromIncarnationField, me.incarnation);
  out = wire::PutFixed(out, kToIncarnationField, link.to.incarnation);
  out = wire::PutVarint(out, wire::BytesTag(field));
  out = wire::PutVarint(out, body.size());
  const size_t size = static_cast<size_t>(out - head);
  Message message;
  message.push_back(Buffer(size));
  std::memcpy(message[0].data(), head, size);
  AppendRope(body, message);
  return message;
}

absl::StatusOr<PeerRequestView> ParsePeerRequest(const Rope& rope) {
  PeerRequestView view;
  wire::Cursor cursor(rope);
  auto take = [&cursor](int field, auto& value) {
    uint64_t tag;
    using Int = std::remove_reference_t<decltype(value)>;
    return cursor.TakeVarint(tag) && tag == wire::FixedTag<Int>(field) &&
           cursor.Take(sizeof(value), &value);
  };
  wire::ByteRange body;
  if (!take(kIdField, view.id) || !take(kClusterField, view.cluster) ||
      !take(kFromServerField, view.from.server) ||
      !take(kFromIncarnationField, view.from.incarnation) ||
      !take(kToIncarnationField, view.to_incarnation) || cursor.Peek() < 0) {
    return absl::InvalidArgumentError("not a PeerRequest of this version");
  }
  const bool checkpoint =
      cursor.Peek() == static_cast<int>(wire::BytesTag(kCheckpointField));
  if (!wire::TakeBlock(cursor, checkpoint ? kCheckpointField : kMessagesField,
                       body) ||
      cursor.left() != 0) {
    return absl::InvalidArgumentError("not a PeerRequest of this version");
  }
  if (checkpoint) {
    view.checkpoint.resize(body.size);
    rope.Copy(body.offset, body.size, view.checkpoint.data());
    return view;
  }
  Rope::Pieces pieces;
  rope.AddPieces(body.offset, body.size, pieces);
  const Rope messages(std::move(pieces), std::make_shared<const Rope>(rope),
                      rope.pinned_bytes());
  PARAMO_ASSIGN_OR_RETURN(view.messages, DecodePeerMessages(messages));
  return view;
}

}  // namespace paramo
