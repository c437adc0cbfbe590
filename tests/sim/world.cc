#include "tests/sim/world.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"

namespace paramo::sim {

World::World(const Options& options, Result& result)
    : options_(options),
      result_(result),
      loop_(options.seed * 2 + 1),
      network_(loop_, result),
      checker_(result) {
  const uint32_t server_count = loop_.Between(3, 5);
  const uint32_t replicas = loop_.Between(2, 3);
  shards_ = loop_.Between(1, 3);
  min_insync_ = loop_.Chance(0.2) ? 2 : 1;
  level_ = static_cast<Durability>(loop_.Between(0, 2));
  slow_disks_ = loop_.Chance(0.25);
  promotes_ = loop_.Chance(0.4);
  coordinator_ =
      std::make_unique<Coordinator>(*this, shards_, replicas, server_count);
  for (uint32_t i = 1; i <= server_count; ++i) {
    servers_.push_back(std::make_unique<Server>(*this, i));
  }
  for (uint32_t i = 0; i < 3; ++i) {
    clients_.push_back(std::make_unique<Client>(*this, kFirstClient + i));
  }
  faults_ = std::make_unique<Faults>(*this);
}

void World::Run() {
  coordinator_->Start();
  for (auto& server : servers_) server->Start();
  for (auto& client : clients_) client->Start();
  const Micros begin = kSecond / 2;
  faults_->Start(begin);
  const Micros healed = begin + options_.faults_for;
  while (!checker_.failed() && loop_.Step(healed)) {
  }
  if (checker_.failed()) return;
  Trace("heal");
  healed_ = true;
  faults_->Heal();
  for (auto& client : clients_) client->WantMore(5);
  const Micros end = healed + options_.heal_for;
  // Comparing replicas takes a second; two of them must pass.
  const Micros soonest = healed + 2500 * kMilli;
  Micros looked = 0;
  while (!checker_.failed() && loop_.Step(end)) {
    if (loop_.now() < soonest || loop_.now() < looked + 10 * kMilli) continue;
    looked = loop_.now();
    if (Whole() && !DamagedInSync()) break;
  }
  result_.healed_after = loop_.now() - healed;
  if (!checker_.failed()) CheckEnd();
}

// Every shard has its replicas in sync again, and every client got through.
bool World::Whole() {
  for (ShardId shard = 0; shard < shards_; ++shard) {
    if (GivenUp(shard)) continue;
    const ReplicaSet& set = coordinator_->stored(shard);
    if (set.fencing) return false;
    size_t usable = 0;
    for (auto& server : servers_) {
      HostedShard* host = server->shard(shard);
      usable += !host || host->replica().role() != Role::kStopped;
    }
    if (set.in_sync.size() <
        std::min<size_t>(coordinator_->replicas(), usable)) {
      return false;
    }
    for (auto& client : clients_) {
      if (!client->IsDone(shard)) return false;
    }
  }
  return true;
}

// A damaged replica that nobody has noticed yet.
std::optional<std::string> World::DamagedInSync() {
  for (ShardId shard = 0; shard < shards_; ++shard) {
    if (GivenUp(shard)) continue;
    for (const ServerLife& life : coordinator_->stored(shard).in_sync) {
      Server* server = FindServer({life.server, life.incarnation});
      HostedShard* host = server ? server->shard(shard) : nullptr;
      if (host && host->damaged()) {
        return absl::StrCat("shard ", shard, ": server ", life.server,
                            " differs unnoticed");
      }
    }
  }
  return std::nullopt;
}

void World::CheckEnd() {
  if (auto damaged = DamagedInSync()) checker_.Violation(*damaged);
  checker_.CheckLedger();
  for (ShardId shard = 0; shard < shards_; ++shard) {
    if (GivenUp(shard)) {
      ++result_.progress["shards offline"];
      continue;
    }
    for (auto& client : clients_) {
      if (client->IsDone(shard)) continue;
      checker_.Violation(absl::StrCat("shard ", shard, ": client ",
                                      client->node(), " is wedged, ",
                                      client->Describe(shard)));
    }
    if (!Whole()) {
      std::string what = absl::StrCat("shard ", shard, " does not heal");
      for (auto& server : servers_) {
        if (HostedShard* host = server->shard(shard)) {
          absl::StrAppend(&what, "\n  ", server->node(), ": ",
                          host->replica().Describe());
        }
      }
      checker_.Violation(what);
    }
    ++result_.progress["shards healed"];
  }
}

Server* World::FindServer(const ReplicaId& id) {
  if (id.server == 0 || id.server > servers_.size()) return nullptr;
  Server* server = servers_[id.server - 1].get();
  return server->alive() && server->id() == id ? server : nullptr;
}

void World::SendPeerMessage(Server& from, const ReplicaId& to,
                            PeerMessage message) {
  Server* target = FindServer(to);
  if (!target) return;
  const ReplicaId sender = from.id();
  const ShardId shard = message.shard;
  std::string bytes = EncodePeerMessages({&message, 1}).Flatten();
  if (loop_.Chance(network_.weather().flip)) {
    ++result_.faults["bit flipped"];
    bytes[loop_.Between(0, bytes.size() - 1)] ^= 1 << loop_.Between(0, 7);
  }
  const Rope rope = Rope::FromString(std::move(bytes));
  auto deliver = target->Inside([this, target, sender, shard, rope] {
    auto messages = DecodePeerMessages(rope, options_.bugs.replica);
    if (!messages.ok()) {
      ++result_.progress["messages refused"];
      return;
    }
    HostedShard* host = target->shard(shard);
    if (!host || messages->empty()) return;
    host->replica().OnMessage(sender, std::move((*messages)[0]), loop_.time());
  });
  network_.Send(from.node(), to.server, deliver);
}

void World::SendToCoordinator(Server& from, std::function<void()> deliver) {
  network_.Send(from.node(), kCoordinator, coordinator_->Inside(deliver));
}

void World::SendState(Node to, uint64_t version,
                      const std::vector<ReplicaSet>& sets) {
  Server* server = servers_[to - 1].get();
  if (!server->alive()) return;
  network_.Send(kCoordinator, to, server->Inside([server, version, sets] {
    server->OnState(version, sets);
  }));
}

void World::SendPush(Node client, Node to, const PushRequest& request,
                     const PushDone& done) {
  Server* server = servers_[to - 1].get();
  if (!server->alive()) return;
  const PushDone reply = [this, client, to, done](PushReply answer) {
    network_.Send(to, client, [done, answer] { done(answer); });
  };
  network_.Send(client, to, server->Inside([server, request, reply] {
    server->OnPush(request, reply);
  }));
}

void World::OnApply(Server& server, ShardId shard, const Record& record,
                    uint64_t push, uint64_t hash) {
  if (spoiled_.count(shard) != 0) hash = 0;
  // A record of the base's, too, is the new history's from now on.
  const HistoryId history = server.shard(shard)->replica().config().history;
  if (checker_.OnApply({shard, history}, server.node(), record, push, hash) &&
      history == coordinator_->stored(shard).history) {
    CheckInSyncHas(shard, record.lsn(), record.header.crc32c);
  }
}

// Whoever the store calls in sync has what was just committed.
void World::CheckInSyncHas(ShardId shard, Lsn lsn, uint32_t crc) {
  for (const ServerLife& life : coordinator_->stored(shard).in_sync) {
    Server* server = FindServer({life.server, life.incarnation});
    if (!server) continue;
    HostedShard* host = server->shard(shard);
    if (host && host->replica().role() == Role::kStopped) continue;
    if (!host || host->replica().CrcOf(lsn) != crc) {
      checker_.Violation(absl::StrCat("shard ", shard, ": record ", lsn,
                                      " is committed, and server ", life.server,
                                      ", in sync, does not have it"));
    }
  }
}

void World::OnAck(Server& server, ShardId shard, Replica& replica,
                  uint64_t push) {
  checker_.OnAck({shard, replica.config().history}, server.node(),
                 replica.config().term, push);
  const Promise& promise = server.disk().promises[shard];
  if (promise.term != replica.config().term || promise.primary == 0) {
    checker_.Violation(absl::StrCat("shard ", shard, ": server ", server.node(),
                                    " is fenced and acknowledges"));
  }
}

void World::OnPrimary(Server& server, ShardId shard, HostedShard& host) {
  ++result_.progress["takeovers"];
  Trace(absl::StrCat("shard ", shard, ": server ", server.node(),
                     " serves, epoch ", host.replica().config().epoch, ", lsn ",
                     host.replica().last()));
  if (host.damaged()) spoiled_.insert(shard);
}

void World::OnStopped(Server& server, ShardId shard, bool damaged,
                      const std::string& why) {
  ++result_.progress["replicas stopped"];
  Trace(absl::StrCat("shard ", shard, ": server ", server.node(), " stopped",
                     damaged ? ", damaged" : "", ": ", why));
  // A primary compares itself with others while it takes over already.
  for (auto& other : servers_) {
    HostedShard* host = other->shard(shard);
    if (host && host->damaged() &&
        host->replica().role() == Role::kTakingOver) {
      spoiled_.insert(shard);
    }
  }
  if (!damaged && spoiled_.count(shard) == 0) {
    checker_.Violation(absl::StrCat("shard ", shard, ": server ", server.node(),
                                    " stopped: ", why));
  }
}

bool World::GivenUp(ShardId shard) {
  size_t usable = 0;
  for (auto& server : servers_) {
    HostedShard* host = server->shard(shard);
    usable += !host || host->replica().role() != Role::kStopped;
  }
  return spoiled_.count(shard) != 0 || coordinator_->Offline(shard) ||
         usable < min_insync_;
}

void World::Trace(const std::string& what) {
  if (options_.trace) {
    std::printf("%9.4f %s\n", static_cast<double>(loop_.now()) / kSecond,
                what.c_str());
  }
}

Result Run(const Options& options) {
  Result result;
  World world(options, result);
  world.Run();
  return result;
}

}  // namespace paramo::sim
