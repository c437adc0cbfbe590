#include "tests/sim/coordinator.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/sim/world.h"

namespace paramo::sim {
namespace {

constexpr Micros kSuspicion = 300 * kMilli;
constexpr Micros kProbeSuspicion = 350 * kMilli;
constexpr Micros kProbeLate = 120 * kMilli;
constexpr Micros kStall = 20 * kMilli;

std::string Describe(ShardId shard, const ReplicaSet& set) {
  std::string text =
      absl::StrCat("shard ", shard, ": epoch ", set.epoch, " term ", set.term,
                   " history ", set.history % 1000, " primary ", set.primary,
                   set.fencing ? " fencing" : "", ", in sync");
  for (const ServerLife& life : set.in_sync) {
    absl::StrAppend(&text, " ", life.server, "#", life.incarnation);
  }
  absl::StrAppend(&text, ", learners");
  for (const ServerLife& life : set.learners) {
    absl::StrAppend(&text, " ", life.server, "#", life.incarnation);
  }
  return text;
}

}  // namespace

Coordinator::Coordinator(World& world, uint32_t shards, uint32_t replicas,
                         uint32_t servers)
    : world_(world), store_(shards) {
  options_.shard_count = shards;
  options_.replicas = replicas;
  options_.servers_expected = servers;
  options_.hold_down_max = absl::Seconds(1);
  options_.balance_after = absl::Milliseconds(100) * world.loop().Between(0, 4);
  options_.promote_lagging = world.options().bugs.promote_lagging;
  options_.transfer_lagging = world.options().bugs.transfer_lagging;
}

void Coordinator::Start() {
  ++life_;
  paused_until_ = 0;
  committing_ = false;
  last_heard_.clear();
  last_answer_.clear();
  sets_ = std::make_unique<ReplicaSets>(options_);
  for (ShardId shard = 0; shard < store_.size(); ++shard) {
    sets_->Load(shard, store_[shard]);
  }
  for (const auto& [server, incarnation] : incarnations_) {
    // Two suspicion periods of grace: nobody could be heard before.
    const ServerLife life = {server, incarnation};
    sets_->ServerUp(life, world_.loop().time());
    last_heard_[life] = world_.loop().now() + kSuspicion;
  }
  for (const uint32_t server : drained_) sets_->SetDrained(server, true);
  sets_->Resume();
  ticked_at_ = world_.loop().now();
  Tick();
}

void Coordinator::Kill() {
  ++life_;
  sets_.reset();
}

std::function<void()> Coordinator::Inside(std::function<void()> run) {
  return [this, life = life_, run = std::move(run)] {
    if (life != life_ || !sets_) return;
    if (world_.loop().now() < paused_until_) {
      world_.loop().At(paused_until_, Inside(run));
      return;
    }
    run();
  };
}

void Coordinator::After(Micros delay, std::function<void()> run) {
  world_.loop().After(delay, Inside(std::move(run)));
}

void Coordinator::Hear(const ServerLife& life, uint64_t version) {
  uint64_t& newest = incarnations_[life.server];
  if (life.incarnation < newest) return;  // a message of a life that is over
  newest = life.incarnation;
  if (last_heard_.count(life) == 0) {
    sets_->ServerUp(life, world_.loop().time());
  }
  last_heard_[life] = world_.loop().now();
  if (version < version_) world_.SendState(life.server, version_, store_);
}

void Coordinator::Told(const ReplicaReport& report) {
  ReplicaNews news;
  news.kind = static_cast<ReplicaNews::Kind>(report.kind);
  news.shard = report.shard;
  news.from = {report.from.server, report.from.incarnation};
  news.epoch = report.epoch;
  news.peer = {report.peer.server, report.peer.incarnation};
  news.last_epoch = report.last_epoch;
  news.last_lsn = report.last_lsn;
  sets_->OnNews(news, world_.loop().time());
  Commit();
}

bool Coordinator::Transfer(ShardId shard, uint32_t server) {
  if (!sets_ || world_.loop().now() < paused_until_) return false;
  const Epoch before = sets_->sets()[shard].epoch;
  if (!sets_->Transfer(shard, server).ok()) return false;
  const bool changed = sets_->sets()[shard].epoch != before;
  Commit();
  return changed;
}

bool Coordinator::PromoteUnsafely(ShardId shard, uint32_t server) {
  if (!sets_ || world_.loop().now() < paused_until_) return false;
  const uint64_t ended = world_.NewSession();
  if (!sets_->PromoteUnsafely(shard, server, ended).ok()) return false;
  Commit();
  return true;
}

void Coordinator::SetDrained(uint32_t server, bool drained) {
  if (drained) {
    drained_.insert(server);
  } else {
    drained_.erase(server);
  }
  if (sets_) sets_->SetDrained(server, drained);
}

void Coordinator::Tick() {
  const Micros now = world_.loop().now();
  const Micros stalled = now - ticked_at_;
  ticked_at_ = now;
  // Our own stalls are not their silence.
  FindSilent(stalled > kStall ? stalled : 0);
  Probe(stalled > kStall ? stalled : 0);
  sets_->Tick(world_.loop().time());
  Commit();
  After(5 * kMilli, [this] { Tick(); });
}

void Coordinator::FindSilent(Micros stalled) {
  const Micros now = world_.loop().now();
  for (auto it = last_heard_.begin(); it != last_heard_.end();) {
    it->second += stalled;
    if (now - it->second > kSuspicion) {
      sets_->ServerDown(it->first, world_.loop().time());
      it = last_heard_.erase(it);
    } else {
      ++it;
    }
  }
}

// Of those who beat, who does not answer where clients would ask.
void Coordinator::Probe(Micros stalled) {
  const Micros now = world_.loop().now();
  std::map<ServerLife, Micros> answered;
  std::map<ServerLife, Reach> reach;
  for (const auto& [life, heard] : last_heard_) {
    const auto before = last_answer_.find(life);
    const Server* server = world_.FindServer({life.server, life.incarnation});
    const bool answers = server != nullptr && server->AnswersProbes();
    answered[life] = answers || before == last_answer_.end()
                         ? now
                         : before->second + stalled;
    const Micros silence = now - answered[life];
    if (silence > kProbeLate) {
      reach[life] = silence > kProbeSuspicion ? Reach::kNone : Reach::kLate;
    }
  }
  last_answer_ = std::move(answered);
  sets_->SetReach(reach, world_.loop().time());
}

// What changed becomes durable, and only then known.
void Coordinator::Commit() {
  if (committing_) return;
  const std::set<ShardId> changed = sets_->TakeChanged();
  if (changed.empty()) return;
  committing_ = true;
  std::map<ShardId, ReplicaSet> writes;
  for (ShardId shard : changed) writes[shard] = sets_->sets()[shard];
  After(world_.loop().Between(200, 5000), [this, writes] {
    for (const auto& [shard, set] : writes) {
      if (set.epoch <= store_[shard].epoch) {
        world_.checker().Violation("an epoch does not grow");
      }
      store_[shard] = set;
      world_.checker().OnStored({shard, set.history});
      world_.Trace(Describe(shard, set));
    }
    ++version_;
    ++world_.result().progress["configurations"];
    committing_ = false;
    for (const auto& [life, heard] : last_heard_) {
      world_.SendState(life.server, version_, store_);
    }
    Commit();
  });
}

bool Coordinator::Offline(ShardId shard) const {
  return sets_ && sets_->Offline(shard);
}

}  // namespace paramo::sim
