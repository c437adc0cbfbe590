#include "tests/sim/client.h"

#include "absl/strings/str_cat.h"
#include "tests/sim/world.h"

namespace paramo::sim {
namespace {

constexpr size_t kInFlightMax = 3;

}  // namespace

Client::Client(World& world, Node node) : world_(world), node_(node) {}

void Client::Start() {
  ++life_;
  if (session_ == 0 || !world_.options().bugs.session_reused) {
    session_ = world_.NewSession();
  }
  for (ShardId shard = 0; shard < world_.shards(); ++shard) {
    const Stream& before = streams_[shard];
    const uint64_t left = before.left + before.in_flight.size();
    streams_[shard] = {};
    streams_[shard].left = left;
    Fill(shard);
  }
}

void Client::Restart() { Start(); }

void Client::WantMore(uint64_t pushes) {
  for (auto& [shard, stream] : streams_) {
    stream.left = pushes;
    Fill(shard);
  }
}

bool Client::IsDone(ShardId shard) const {
  const Stream& stream = streams_.at(shard);
  return stream.left == 0 && stream.in_flight.empty();
}

std::string Client::Describe(ShardId shard) const {
  const Stream& stream = streams_.at(shard);
  std::string text = absl::StrCat("next ", stream.next_seq, ", in flight");
  for (const auto& [seq, push] : stream.in_flight) {
    absl::StrAppend(&text, " ", seq, push.give_up ? " (giving up)" : "");
  }
  return text;
}

void Client::Fill(ShardId shard) {
  Stream& stream = streams_[shard];
  while (stream.in_flight.size() < kInFlightMax && stream.left > 0) {
    --stream.left;
    const uint64_t seq = stream.next_seq++;
    InFlight push;
    push.id = world_.NewPush();
    push.deadline =
        world_.loop().now() + world_.loop().Between(1, 20) * 100 * kMilli;
    stream.in_flight[seq] = push;
    const int life = life_;
    world_.loop().After(world_.loop().Between(0, 30) * kMilli,
                        [this, shard, seq, life] { Try(shard, seq, life); });
  }
}

// Sends, and sends again later if no answer has come by then.
void Client::Try(ShardId shard, uint64_t seq, int life) {
  if (life != life_) return;
  Stream& stream = streams_[shard];
  auto it = stream.in_flight.find(seq);
  if (it == stream.in_flight.end()) return;
  InFlight& push = it->second;
  if (world_.loop().now() > push.deadline) push.give_up = true;
  PushRequest request = {shard, session_, seq, push.id, push.give_up};
  // Every third try goes anywhere: what is known may be old.
  const bool anywhere = ++push.tries % 3 == 0;
  const Node to = anywhere || stream.primary == 0
                      ? world_.loop().Between(1, world_.servers().size())
                      : stream.primary;
  world_.SendPush(node_, to, request, [=, this](PushReply reply) {
    OnReply(shard, seq, life, reply);
  });
  world_.loop().After(world_.loop().Between(40, 160) * kMilli,
                      [this, shard, seq, life] { Try(shard, seq, life); });
}

// Numbers that were answered in one history are not known in the next, whose
// coordinator may have opened the session after that had begun.
bool Client::IsOfAnotherHistory(const Stream& stream, const PushReply& reply) {
  return reply.history != 0 && stream.history != 0 &&
         reply.history != stream.history;
}

void Client::OnReply(ShardId shard, uint64_t seq, int life,
                     const PushReply& reply) {
  if (life != life_) return;
  Stream& stream = streams_[shard];
  const bool newest = reply.hint_epoch >= stream.primary_epoch;
  const bool other = IsOfAnotherHistory(stream, reply);
  if (reply.outcome == PushReply::Outcome::kExpired || (other && newest)) {
    ++world_.result().progress["sessions expired"];
    return Restart();
  }
  if (other) return;
  if (newest) {
    stream.primary = reply.primary_hint;
    stream.primary_epoch = reply.hint_epoch;
  }
  auto it = stream.in_flight.find(seq);
  if (it == stream.in_flight.end()) return;
  if (reply.outcome == PushReply::Outcome::kRefused) return;
  stream.history = reply.history;
  if (reply.outcome == PushReply::Outcome::kSkipped) {
    world_.checker().OnGivenUp({shard, reply.history}, it->second.id);
  }
  stream.in_flight.erase(it);
  Fill(shard);
}

}  // namespace paramo::sim
