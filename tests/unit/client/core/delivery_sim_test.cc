// Delivery against a model of servers and a network that loses, delays,
// reorders and breaks: every acknowledged push counts once, every unknown one
// at most once, and no number is ever stuck.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "client/core/delivery.h"
#include "tests/unit/client/core/calls.h"

namespace paramo::client {
namespace {

constexpr uint32_t kShards = 4;
constexpr uint64_t kFiller = 0;  // payload of an empty push

// What a server knows of the one session on one shard: data.proto's rules,
// written down naively. A payload is the number of the call it came from.
class ShardModel {
 public:
  struct Waiting {
    uint64_t payload;
    uint64_t ticket;
  };
  struct Answered {
    uint64_t payload;
    bool refused;
  };

  // Answers now (returns true), or holds the push until the gap is filled.
  bool Receive(uint64_t seq, uint64_t payload, bool refuse, uint64_t ticket,
               std::vector<std::pair<uint64_t, SectionResult>>& answers) {
    EXPECT_GT(seq, 0u);
    EXPECT_LE(seq, last_ + kSessionWindow) << "beyond the window";
    if (seq > last_ + 1) {
      auto before = held_.find(seq);
      if (before != held_.end()) {  // a copy takes its place
        SectionResult replaced;
        replaced.header.code =
            static_cast<uint32_t>(absl::StatusCode::kUnavailable);
        answers.emplace_back(before->second.ticket, replaced);
      }
      held_[seq] = {payload, ticket};
      return false;
    }
    answers.emplace_back(ticket, Take(seq, payload, refuse));
    for (auto next = held_.find(last_ + 1); next != held_.end();
         next = held_.find(last_ + 1)) {
      const Waiting waiting = next->second;
      held_.erase(next);
      answers.emplace_back(waiting.ticket,
                           Take(last_ + 1, waiting.payload, false));
    }
    return true;
  }

  SectionResult Take(uint64_t seq, uint64_t payload, bool refuse) {
    SectionResult result;
    result.header.history = 9;
    auto answered = answered_.find(seq);
    if (answered == answered_.end()) {
      EXPECT_EQ(seq, last_ + 1);
      answered_[seq] = {payload, refuse};
      last_ = seq;
      if (!refuse && payload != kFiller) ++applied[payload];
    } else if (answered->second.payload != payload) {
      result.header.code =
          static_cast<uint32_t>(absl::StatusCode::kInvalidArgument);
      result.header.reason = static_cast<uint32_t>(wire::Reason::kSeqMismatch);
    }
    if (answered_[seq].refused && result.header.code == 0) {
      result.header.code =
          static_cast<uint32_t>(absl::StatusCode::kInvalidArgument);
      result.header.reason = static_cast<uint32_t>(wire::Reason::kNonFinite);
    }
    result.header.lsn = last_;
    result.header.expected_seq = last_ + 1;
    return result;
  }

  uint64_t last() const { return last_; }

  std::map<uint64_t, int> applied;  // by payload

 private:
  uint64_t last_ = 0;
  std::map<uint64_t, Waiting> held_;
  std::map<uint64_t, Answered> answered_;
};

class Simulation {
 public:
  explicit Simulation(uint64_t seed)
      : gen_(seed), delivery_(seed), shards_(kShards) {
    SetMap();
  }

  void Run(int steps) {
    for (int step = 0; step < steps; ++step) {
      now_ += absl::Milliseconds(1);
      if (gen_.Below(3) == 0) StartPush();
      if (gen_.Below(200) == 0) SetMap();
      delivery_.Tick(now_, effects_);
      Deliver();
      TakeEffects();
    }
    // The network heals: everything must settle, without a new push.
    healed_ = true;
    for (int step = 0; step < 20000 && !Quiet(); ++step) {
      now_ += absl::Milliseconds(1);
      delivery_.Tick(now_, effects_);
      Deliver();
      TakeEffects();
    }
    EXPECT_TRUE(Quiet()) << "something is stuck";
    Check();
  }

  int acked = 0;
  int refused = 0;
  int unknown = 0;
  int keys_needed = 0;

 private:
  struct Packet {
    absl::Duration at;
    uint64_t flight;
    std::shared_ptr<Call> call;
    std::vector<Outgoing::Section> sections;
  };
  // A request at the server, waiting for all its sections.
  struct Pending {
    uint64_t flight;
    size_t missing;
    bool lose_reply;
    std::vector<SectionResult> results;
  };

  bool Chance(uint64_t percent) {
    return !healed_ && gen_.Below(100) < percent;
  }

  bool Quiet() const { return packets_.empty() && delivery_.idle(); }

  void SetMap() {
    ++version_;
    delivery_.OnMap(MakeMap(MakeState(version_, kShards, version_)), now_,
                    effects_);
  }

  void StartPush() {
    auto keys = std::make_shared<std::vector<uint64_t>>(1 + gen_.Below(6));
    for (uint64_t& key : *keys) key = gen_.Next();
    auto grads = std::make_shared<std::vector<float>>(keys->size());
    auto call =
        MakeCall({PushOf(handle_, *keys, *grads, kShards)}, session_, now_,
                 now_ + absl::Milliseconds(20 + gen_.Below(300)), kShards);
    call->done = [keys, grads](Call&) {};  // lives as long as the call
    delivery_.Start(call, now_, effects_);
  }

  uint64_t PayloadOf(const Call& call) const {
    return call.filler ? kFiller : call.number;
  }

  void TakeEffects() {
    while (!effects_.send.empty()) {
      std::vector<Outgoing> sends = std::move(effects_.send);
      effects_.send.clear();
      for (Outgoing& out : sends) {
        delivery_.Release(out.call, effects_);
        const absl::Duration delay =
            absl::Milliseconds(healed_ ? 1 : gen_.Below(40));
        packets_.push_back({now_ + delay, out.flight, out.call, out.sections});
      }
    }
    for (const std::shared_ptr<Call>& call : effects_.done) {
      if (!call->filler) done_.push_back(call);
    }
    effects_ = Effects();
  }

  void Deliver() {
    std::vector<Packet> due;
    for (size_t i = 0; i < packets_.size();) {
      if (packets_[i].at <= now_) {
        due.push_back(std::move(packets_[i]));
        packets_.erase(packets_.begin() + i);
      } else {
        ++i;
      }
    }
    for (Packet& packet : due) Arrive(packet);
  }

  void Arrive(const Packet& packet) {
    if (Chance(5)) {  // never left
      Fail(packet.flight, true);
      return;
    }
    if (Chance(5)) {  // the connection broke; the request arrives later
      Fail(packet.flight, false);
      Packet late = packet;
      late.at = now_ + absl::Milliseconds(gen_.Below(500));
      packets_.push_back(late);
      return;
    }
    const uint64_t ticket_base = next_ticket_;
    next_ticket_ += packet.sections.size();
    Pending pending;
    pending.flight = packet.flight;
    pending.missing = packet.sections.size();
    pending.lose_reply = Chance(5);
    pending.results.resize(packet.sections.size());
    const uint64_t index = pending_.size();
    pending_.push_back(std::move(pending));
    for (size_t i = 0; i < packet.sections.size(); ++i) {
      tickets_[ticket_base + i] = {index, i};
    }
    for (size_t i = 0; i < packet.sections.size(); ++i) {
      const wire::SectionHeader& header = packet.sections[i].header;
      std::vector<std::pair<uint64_t, SectionResult>> answers;
      if (header.epoch != version_) {
        SectionResult aborted;
        aborted.header.code = static_cast<uint32_t>(absl::StatusCode::kAborted);
        answers.emplace_back(ticket_base + i, aborted);
      } else if (!packet.sections[i].again && Chance(20)) {
        SectionResult needs_keys;  // they came as a hash that it does not know
        needs_keys.header.code =
            static_cast<uint32_t>(absl::StatusCode::kAborted);
        needs_keys.header.reason =
            static_cast<uint32_t>(wire::Reason::kNeedKeys);
        answers.emplace_back(ticket_base + i, needs_keys);
        ++keys_needed;
      } else if (Chance(5)) {
        SectionResult busy;
        busy.header.code =
            static_cast<uint32_t>(absl::StatusCode::kResourceExhausted);
        busy.header.retry_after_ms = 10;
        answers.emplace_back(ticket_base + i, busy);
      } else {
        const bool refuse = !packet.call->filler && Chance(10);
        shards_[header.shard].Receive(header.seq, PayloadOf(*packet.call),
                                      refuse, ticket_base + i, answers);
      }
      for (auto& [ticket, result] : answers) Answer(ticket, result);
    }
  }

  void Answer(uint64_t ticket, SectionResult result) {
    const std::pair<uint64_t, size_t> where = tickets_.at(ticket);
    Pending& pending = pending_[where.first];
    pending.results[where.second] = std::move(result);
    if (--pending.missing > 0) return;
    if (pending.lose_reply) {
      Fail(pending.flight, false);
      return;
    }
    const Claimed claimed = delivery_.Claim(pending.flight, now_, effects_);
    if (claimed.call == nullptr) return;
    for (SectionResult& r : pending.results) r.header.epoch = version_;
    delivery_.OnReply(claimed, pending.results, now_, effects_);
  }

  void Fail(uint64_t flight, bool never_sent) {
    delivery_.OnFailure(flight, absl::UnavailableError("broken"), never_sent,
                        now_, effects_);
  }

  void Check() {
    for (const std::shared_ptr<Call>& call : done_) {
      for (uint32_t i = 0; i < call->parcels.size(); ++i) {
        const Progress& progress = call->progress[i];
        const auto& applied = shards_[call->parcels[i].shard].applied;
        auto found = applied.find(call->number);
        const int times = found == applied.end() ? 0 : found->second;
        if (progress.error.ok()) {
          ++acked;
          EXPECT_EQ(times, 1) << "an acknowledged push counts once";
        } else if (absl::IsInvalidArgument(progress.error)) {
          ++refused;
          EXPECT_EQ(times, 0) << "a refused push does not count";
        } else {
          unknown += progress.left;
          EXPECT_LE(times, progress.left ? 1 : 0);
        }
      }
    }
    for (ShardId shard = 0; shard < kShards; ++shard) {
      EXPECT_EQ(session_->lowest(shard), shards_[shard].last() + 1)
          << "every number taken is settled";
    }
  }

  BitGen gen_;
  Delivery delivery_;
  std::vector<ShardModel> shards_;
  std::shared_ptr<Session> session_ = std::make_shared<Session>(7, 1, kShards);
  const std::shared_ptr<const TableHandle> handle_ = MakeHandle(1, 1);
  absl::Duration now_ = absl::Seconds(1);
  uint64_t version_ = 0;
  bool healed_ = false;
  Effects effects_;
  std::vector<Packet> packets_;
  std::vector<Pending> pending_;
  uint64_t next_ticket_ = 0;
  std::map<uint64_t, std::pair<uint64_t, size_t>> tickets_;
  std::vector<std::shared_ptr<Call>> done_;
};

class DeliverySim : public testing::TestWithParam<uint64_t> {};

TEST_P(DeliverySim, AppliesEachPushExactlyOnce) {
  SCOPED_TRACE("seed " + std::to_string(GetParam()));
  Simulation simulation(GetParam());
  simulation.Run(6000);
  // The faults landed, and so did most pushes.
  EXPECT_GT(simulation.acked, 1000);
  EXPECT_GT(simulation.refused, 10);
  EXPECT_GT(simulation.unknown, 10);
  EXPECT_GT(simulation.keys_needed, 300);
}

INSTANTIATE_TEST_SUITE_P(Seeds, DeliverySim, testing::Range<uint64_t>(1, 9));

}  // namespace
}  // namespace paramo::client
