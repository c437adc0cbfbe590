#include "server/coordinator/replica_sets.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "common/base/check.h"
#include "server/coordinator/placement.h"

namespace paramo {
namespace {

// Answers after the first are awaited for so long.
constexpr absl::Duration kFenceWait = absl::Milliseconds(100);

// A server that went down n times of late gets no new replicas for
// 100 ms x 2^n, at most hold_down_max; after the second it is as good as new.
constexpr absl::Duration kHoldDownMin = absl::Milliseconds(100);
constexpr absl::Duration kFlapMemory = absl::Seconds(60);

bool NamesServer(const std::vector<ServerLife>& lives, uint32_t server) {
  return std::any_of(lives.begin(), lives.end(), [&](const ServerLife& life) {
    return life.server == server;
  });
}

void Remove(std::vector<ServerLife>& lives, const ServerLife& life) {
  lives.erase(std::remove(lives.begin(), lives.end(), life), lives.end());
}

}  // namespace

ReplicaSets::ReplicaSets(const ReplicaSetsOptions& options)
    : options_(options), sets_(options.shard_count) {}

void ReplicaSets::Load(ShardId shard, ReplicaSet set) {
  PARAMO_CHECK(shard < sets_.size());
  sets_[shard] = std::move(set);
}

void ReplicaSets::Resume() {
  for (ShardId shard = 0; shard < sets_.size(); ++shard) {
    if (sets_[shard].fencing) StartFence(shard);
  }
}

void ReplicaSets::ServerUp(const ServerLife& life, absl::Duration now,
                           const std::set<ShardId>& damaged,
                           uint64_t continues) {
  Server& server = servers_[life.server];
  if (server.incarnation && *server.incarnation != life.incarnation) {
    ServerDown({life.server, *server.incarnation}, now);
  }
  server.incarnation = life.incarnation;
  server.late = server.out_of_reach = false;  // until it is known
  AdoptAlone(life, damaged, continues);
  PlaceWhenComplete();
}

// Where a server held the only replica in sync and has proof that it has all of
// it, that goes on. With one replica wanted it needs no proof: what it comes
// back with is all there is, and it has said in its log what may be missing.
// Where it knows that something is, the shard waits for somebody to decide.
void ReplicaSets::AdoptAlone(const ServerLife& life,
                             const std::set<ShardId>& damaged,
                             uint64_t continues) {
  for (ShardId shard = 0; shard < sets_.size(); ++shard) {
    ReplicaSet set = sets_[shard];
    if (set.in_sync.size() != 1 || set.in_sync[0].server != life.server ||
        set.in_sync[0] == life || damaged.contains(shard)) {
      continue;
    }
    if (options_.replicas > 1 && set.in_sync[0].incarnation != continues) {
      continue;
    }
    if (set.base == set.in_sync[0]) set.base = life;  // it may not know yet
    set.in_sync[0] = life;
    set.primary = life.server;
    set.fencing = false;
    set.term = set.epoch + 1;
    fences_.erase(shard);
    Change(shard, std::move(set));
  }
}

void ReplicaSets::ServerDown(const ServerLife& life, absl::Duration now) {
  auto it = servers_.find(life.server);
  if (it == servers_.end() || it->second.incarnation != life.incarnation) {
    return;
  }
  it->second.incarnation.reset();
  NoteFlap(it->second, now);
}

void ReplicaSets::NoteFlap(Server& server, absl::Duration now) {
  if (now - server.flapped_at > kFlapMemory) server.flaps = 0;
  ++server.flaps;
  server.flapped_at = now;
}

void ReplicaSets::SetReach(const std::map<ServerLife, Reach>& reach,
                           absl::Duration now) {
  const auto is_lost = [&](uint32_t id, const Server& server) {
    if (!server.incarnation) return false;
    auto it = reach.find({id, *server.incarnation});
    return it != reach.end() && it->second == Reach::kNone;
  };
  size_t gone = 0;
  for (const auto& [id, server] : servers_) {
    gone += !server.incarnation || is_lost(id, server);
  }
  const bool believed = gone * 2 <= servers_.size();
  for (auto& [id, server] : servers_) {
    server.late =
        server.incarnation && reach.contains({id, *server.incarnation});
    const bool before =
        std::exchange(server.out_of_reach, believed && is_lost(id, server));
    if (server.out_of_reach && !before) NoteFlap(server, now);
  }
}

void ReplicaSets::OnNews(const ReplicaNews& news, absl::Duration now) {
  if (news.shard >= sets_.size() || sets_[news.shard].epoch == 0) return;
  ReplicaSet& set = sets_[news.shard];
  if (news.epoch > set.epoch) {
    // Rule 3.5: it promised what our store has never seen. Go beyond it.
    set.epoch = news.epoch;
    StartFence(news.shard);
    return;
  }
  if (news.kind == ReplicaNews::Kind::kStopped) {
    stopped_.insert({news.shard, news.from});
    if (!set.fencing && PrimaryOf(set) == news.from) StartFence(news.shard);
    return;
  }
  if (news.epoch != set.epoch) return;
  if (set.fencing) {
    if (news.kind != ReplicaNews::Kind::kFenced) return;
    if (!Names(set.in_sync, news.from)) return;
    const auto [answer, first] = fences_[news.shard].try_emplace(news.from);
    if (first) answer->second.at = now;
    answer->second.last_epoch = news.last_epoch;
    answer->second.last_lsn = news.last_lsn;
    TryCompleteFence(news.shard, now);
    return;
  }
  if (PrimaryOf(set) != news.from) return;
  if (news.kind == ReplicaNews::Kind::kJoin) Join(news.shard, news.peer);
  // Where nobody else is in sync another term moves nothing.
  if (news.kind == ReplicaNews::Kind::kTakeAgain &&
      (!safe_mode() || set.in_sync.size() == 1)) {
    StartFence(news.shard);
  }
  if (safe_mode()) return;
  // Whom nobody can reach hears nobody, and takes all others for silent.
  const bool mistaken = !Answers(news.from) && Answers(news.peer);
  if (news.kind == ReplicaNews::Kind::kDrop && !mistaken) {
    Drop(news.shard, news.peer);
  }
}

void ReplicaSets::Tick(absl::Duration now) {
  const std::map<ShardId, Fence> under_way = fences_;
  for (const auto& [shard, fence] : under_way) TryCompleteFence(shard, now);
  if (safe_mode()) return;
  FenceWherePrimaryIsGone();
  for (ShardId shard = 0; shard < sets_.size(); ++shard) {
    LeaveDrainedPrimary(shard);
    EnsureReplicas(shard, now);
  }
  Balance(now);
}

std::set<ShardId> ReplicaSets::TakeChanged() {
  return std::exchange(changed_, {});
}

bool ReplicaSets::safe_mode() const {
  size_t down = 0;
  for (const auto& [id, server] : servers_) down += !server.incarnation;
  return down * 2 > servers_.size();
}

bool ReplicaSets::Offline(ShardId shard) const {
  const ReplicaSet& set = sets_[shard];
  return std::none_of(set.in_sync.begin(), set.in_sync.end(),
                      [&](const ServerLife& life) {
                        return IsUp(life) && !HasStopped(shard, life);
                      });
}

bool ReplicaSets::IsUp(const ServerLife& life) const {
  auto it = servers_.find(life.server);
  return it != servers_.end() && it->second.incarnation == life.incarnation &&
         IsUp(it->second);
}

bool ReplicaSets::Answers(const ServerLife& life) const {
  return IsUp(life) && !servers_.at(life.server).late;
}

bool ReplicaSets::OutOfReach(uint32_t server) const {
  auto it = servers_.find(server);
  return it != servers_.end() && it->second.out_of_reach;
}

bool ReplicaSets::IsDrained(const ServerLife& life) const {
  auto it = servers_.find(life.server);
  return it != servers_.end() && it->second.drained;
}

bool ReplicaSets::IsUseful(ShardId shard, const ServerLife& life) const {
  return IsUp(life) && !HasStopped(shard, life) && !IsDrained(life);
}

bool ReplicaSets::IsHeldDown(const Server& server, absl::Duration now) const {
  if (server.flaps == 0) return false;
  const int doublings = std::min(server.flaps, 10);
  const absl::Duration hold =
      std::min(kHoldDownMin * (1 << doublings), options_.hold_down_max);
  return now - server.flapped_at < hold;
}

bool ReplicaSets::HasStopped(ShardId shard, const ServerLife& life) const {
  return stopped_.contains({shard, life});
}

bool ReplicaSets::Names(const std::vector<ServerLife>& lives,
                        const ServerLife& life) {
  return std::find(lives.begin(), lives.end(), life) != lives.end();
}

std::optional<ServerLife> ReplicaSets::MemberOf(const ReplicaSet& set,
                                                uint32_t server) {
  for (const ServerLife& life : set.in_sync) {
    if (life.server == server) return life;
  }
  return std::nullopt;
}

void ReplicaSets::Change(ShardId shard, ReplicaSet set) {
  PARAMO_CHECK(!set.in_sync.empty());
  ++set.epoch;
  sets_[shard] = std::move(set);
  changed_.insert(shard);
}

// Empty replicas are equal, so all of them are in sync from the beginning.
void ReplicaSets::PlaceWhenComplete() {
  std::vector<uint32_t> takers;
  size_t up = 0;
  for (const auto& [id, server] : servers_) {
    up += server.incarnation.has_value();
    if (IsUp(server) && !server.drained) takers.push_back(id);
  }
  if (takers.empty() || up < options_.servers_expected) return;
  // A crash may have left some shards placed: those stay where they are.
  Assignment placed;
  for (const ReplicaSet& set : sets_) {
    placed.push_back(set.epoch == 0 ? 0 : set.in_sync[0].server);
  }
  if (std::find(placed.begin(), placed.end(), 0u) == placed.end()) return;
  const Assignment primaries = PlaceShards(takers, placed);
  for (ShardId shard = 0; shard < sets_.size(); ++shard) {
    if (sets_[shard].epoch != 0) continue;
    ReplicaSet set;
    set.history = options_.history;
    set.primary = primaries[shard];
    set.term = 1;
    set.in_sync.push_back({set.primary, *servers_[set.primary].incarnation});
    while (set.in_sync.size() < options_.replicas) {
      const std::optional<ServerLife> next =
          ChooseLearner(set, shard, absl::InfiniteDuration());
      if (!next) break;
      set.in_sync.push_back(*next);
    }
    Change(shard, std::move(set));
  }
}

void ReplicaSets::FenceWherePrimaryIsGone() {
  for (ShardId shard = 0; shard < sets_.size(); ++shard) {
    const ReplicaSet& set = sets_[shard];
    if (set.epoch == 0 || set.fencing) continue;
    const std::optional<ServerLife> primary = PrimaryOf(set);
    // With nobody to answer a fence, whoever comes back first starts one.
    if (Offline(shard)) continue;
    if (!primary || !IsUp(*primary)) StartFence(shard);
  }
}

void ReplicaSets::StartFence(ShardId shard) {
  ReplicaSet set = sets_[shard];
  set.fencing = true;
  set.primary = 0;
  fences_[shard] = {};
  Change(shard, std::move(set));
}

// A suspect leads only where nobody else is left to answer; and it is not in
// sync beside one who is, or the new primary would wait for it.
void ReplicaSets::TryCompleteFence(ShardId shard, absl::Duration now) {
  ReplicaSet set = sets_[shard];
  const auto may_answer = [&](const ServerLife& life) {
    return IsUp(life) && !HasStopped(shard, life);
  };
  Fence answers = fences_[shard];
  if (!Offline(shard)) {
    std::erase_if(answers, [&](const auto& a) { return !IsUp(a.first); });
  }
  if (answers.empty()) return;
  const bool all = std::all_of(
      set.in_sync.begin(), set.in_sync.end(), [&](const ServerLife& life) {
        return answers.contains(life) || !may_answer(life);
      });
  const absl::Duration first =
      std::min_element(answers.begin(), answers.end(), [](auto& a, auto& b) {
        return a.second.at < b.second.at;
      })->second.at;
  if (!all && now - first < kFenceWait) return;
  set.primary = ChoosePrimary(answers).server;
  set.fencing = false;
  set.term = set.epoch + 1;
  set.in_sync.clear();
  for (const auto& [life, answer] : answers) set.in_sync.push_back(life);
  if (options_.promote_lagging && !set.learners.empty()) {
    set.primary = set.learners[0].server;
    set.in_sync = {set.learners[0]};
    set.learners.clear();
  }
  fences_.erase(shard);
  Change(shard, std::move(set));
}

// The one that has most; of equals, one that is up, stays and leads fewest
// shards.
ServerLife ReplicaSets::ChoosePrimary(const Fence& fence) const {
  const auto rank = [&](const std::pair<const ServerLife, Answer>& answer) {
    return std::make_tuple(answer.second.last_epoch, answer.second.last_lsn,
                           IsUp(answer.first), !IsDrained(answer.first),
                           -CountLed(answer.first.server));
  };
  const auto best = std::max_element(
      fence.begin(), fence.end(),
      [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  return best->first;
}

ptrdiff_t ReplicaSets::CountLed(uint32_t server) const {
  return std::count_if(sets_.begin(), sets_.end(), [&](const ReplicaSet& set) {
    return set.primary == server;
  });
}

std::map<uint32_t, size_t> ReplicaSets::CountHeld() const {
  std::map<uint32_t, size_t> held;
  for (const ReplicaSet& set : sets_) {
    for (const ServerLife& life : set.in_sync) ++held[life.server];
    for (const ServerLife& life : set.learners) ++held[life.server];
  }
  return held;
}

void ReplicaSets::Join(ShardId shard, const ServerLife& learner) {
  ReplicaSet set = sets_[shard];
  if (!Names(set.learners, learner)) return;
  Remove(set.learners, learner);
  set.in_sync.push_back(learner);
  Change(shard, std::move(set));
}

void ReplicaSets::Drop(ShardId shard, const ServerLife& peer) {
  ReplicaSet set = sets_[shard];
  // The primary that asks stays, so in_sync does not become empty.
  if (peer.server == set.primary) return;
  if (!Names(set.in_sync, peer) && !Names(set.learners, peer)) return;
  Remove(set.in_sync, peer);
  Remove(set.learners, peer);
  Change(shard, std::move(set));
}

// One step towards the wanted number of live replicas on servers that stay.
// Whoever is drained goes once they are there.
void ReplicaSets::EnsureReplicas(ShardId shard, absl::Duration now) {
  ReplicaSet set = sets_[shard];
  if (set.epoch == 0 || set.fencing || Offline(shard)) return;
  const auto useful = [&](const ServerLife& life) {
    return IsUseful(shard, life);
  };
  const size_t members = static_cast<size_t>(
      std::count_if(set.in_sync.begin(), set.in_sync.end(), useful));
  std::erase_if(set.learners, std::not_fn(useful));
  if (members >= options_.replicas) {
    if (!IsMoving(shard)) set.learners.clear();
    // The primary counts on fewer once it knows, so this may come from here.
    std::erase_if(set.in_sync, [&](const ServerLife& life) {
      return IsDrained(life) && life.server != set.primary;
    });
  }
  // A backup that only we cannot reach is in sync; one that its primary cannot
  // reach either speaks at every change, and looks alive to it for 300 ms more.
  const bool unsettled = std::any_of(
      set.in_sync.begin(), set.in_sync.end(),
      [&](const ServerLife& life) { return OutOfReach(life.server); });
  while (!unsettled && members + set.learners.size() < options_.replicas) {
    const std::optional<ServerLife> next = ChooseLearner(set, shard, now);
    if (!next) break;
    set.learners.push_back(*next);
  }
  if (set != sets_[shard]) Change(shard, std::move(set));
}

// The live server without a replica of the shard that holds fewest replicas;
// of equals, the next one round the ring, so that backups of one server's
// shards are spread over the others.
std::optional<ServerLife> ReplicaSets::ChooseLearner(const ReplicaSet& set,
                                                     ShardId shard,
                                                     absl::Duration now) const {
  std::map<uint32_t, size_t> held = CountHeld();
  std::optional<ServerLife> best;
  std::pair<size_t, uint32_t> best_rank;
  uint32_t place = shard;
  for (const auto& [id, server] : servers_) {
    ++place;
    if (!IsUp(server) || server.drained || IsHeldDown(server, now)) {
      continue;
    }
    const ServerLife life = {id, *server.incarnation};
    if (Names(set.in_sync, life) || NamesServer(set.learners, id)) continue;
    if (HasStopped(shard, life)) continue;
    const std::pair<size_t, uint32_t> rank = {
        held[id], place % static_cast<uint32_t>(servers_.size())};
    if (!best || rank < best_rank) {
      best = life;
      best_rank = rank;
    }
  }
  return best;
}

}  // namespace paramo
