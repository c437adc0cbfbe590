#include "tests/sim/faults.h"

#include "absl/strings/str_cat.h"
#include "tests/sim/world.h"

namespace paramo::sim {

Faults::Faults(World& world) : world_(world) {
  damages_ = world.loop().Chance(0.2);
  intensity_ = world.loop().Between(1, 10) / 5.0;
}

void Faults::Start(Micros begin) {
  world_.loop().At(begin, [this] { Next(); });
  if (world_.promotes()) PromoteWhatIsLeft();
}

void Faults::Next() {
  if (over_) return;
  Inject();
  const Micros mean = static_cast<Micros>(60 * kMilli / intensity_);
  world_.loop().After(world_.loop().Between(1, 2 * mean), [this] { Next(); });
}

void Faults::Inject() {
  Loop& loop = world_.loop();
  Server& server =
      *world_.servers()[loop.Between(0, world_.servers().size() - 1)];
  switch (loop.Between(0, 13)) {
    case 0:
    case 1:
    case 2:
      HurtServer(server);
      break;
    case 3:
    case 4:
      CutOff(server);
      break;
    case 5:
    case 6:
      ChangeWeather();
      break;
    case 7:
      HurtCoordinator();
      break;
    case 8:
      DamageState(server);
      break;
    case 9:
    case 10:
      MovePrimary(server);
      break;
    case 11:
      Drain(server);
      break;
    case 12:
      PutOutOfReach(server);
      break;
    default:
      Count("client restarted", nullptr);
      world_.clients()[loop.Between(0, world_.clients().size() - 1)]->Restart();
  }
}

void Faults::Count(const char* kind, const Server* server) {
  ++world_.result().faults[kind];
  world_.Trace(server ? absl::StrCat(kind, ": ", server->node()) : kind);
}

void Faults::HurtServer(Server& server) {
  Loop& loop = world_.loop();
  if (!server.alive()) return;
  switch (loop.Between(0, 7)) {
    case 0:
    case 1:
      if (world_.level() == Durability::kMemory && !MayLosePast(server)) return;
      Count("server killed", &server);
      server.Kill();
      StartLater(server);
      break;
    case 2:
      if (world_.level() != Durability::kSynced && !MayLosePast(server)) return;
      Count("power lost", &server);
      server.LosePower();
      StartLater(server);
      break;
    case 3:
      Count("server stopped in order", &server);
      server.StopCleanly();
      StartLater(server);
      break;
    case 4:
      Count("server paused", &server);
      server.Pause(loop.now() + loop.Between(20, 1500) * kMilli);
      break;
    case 5:
      if (!damages_ || !MayLosePast(server)) return;
      server.Kill();
      if (server.disk().SpoilRecord(loop)) Count("log damaged", &server);
      StartLater(server);
      break;
    default:
      server.set_slow_disk(true);
      loop.After(loop.Between(20, 2000) * kMilli,
                 [&server] { server.set_slow_disk(false); });
  }
}

// Nearly always spares the last replica that has everything, where no operator
// helps: a shard that waits for one shows nothing more.
bool Faults::MayLosePast(Server& server) {
  if (world_.loop().Chance(world_.promotes() ? 0.4 : 0.05)) return true;
  for (ShardId shard = 0; shard < world_.shards(); ++shard) {
    bool named = false;
    bool other = false;
    for (const ServerLife& life : world_.coordinator().stored(shard).in_sync) {
      if (life.server == server.node()) {
        named = life.incarnation == server.id().incarnation;
      } else {
        other |= world_.FindServer({life.server, life.incarnation}) != nullptr;
      }
    }
    if (named && !other) return false;
  }
  return true;
}

void Faults::StartLater(Server& server) {
  Loop& loop = world_.loop();
  const Micros delay = loop.Chance(0.5) ? loop.Between(1, 100) * kMilli
                                        : loop.Between(100, 1500) * kMilli;
  loop.After(delay, [&server] {
    if (!server.alive()) server.Start();
  });
}

void Faults::CutOff(Server& server) {
  Loop& loop = world_.loop();
  Network& network = world_.network();
  const Micros until = loop.now() + loop.Between(5, 1200) * kMilli;
  const bool in = !loop.Chance(0.3);
  const bool out = !in || !loop.Chance(0.3);
  const auto cut = [&](Node other) {
    if (out) network.Block(server.node(), other, until);
    if (in) network.Block(other, server.node(), until);
  };
  Count("partition", &server);
  switch (loop.Between(0, 3)) {
    case 0:
      cut(kCoordinator);
      break;
    case 1:
      for (auto& other : world_.servers()) cut(other->node());
      break;
    case 2:
      cut(kCoordinator);
      for (auto& other : world_.servers()) cut(other->node());
      break;
    default:
      cut(loop.Between(1, world_.servers().size()));
  }
}

// What is sent to where it serves is lost, and answers to clients are; what it
// sends to others, and hears from the coordinator, is not.
void Faults::PutOutOfReach(Server& server) {
  Loop& loop = world_.loop();
  Network& network = world_.network();
  const Micros until = loop.now() + loop.Between(50, 1500) * kMilli;
  Count("out of reach", &server);
  server.set_unreachable_until(until);
  for (auto& other : world_.servers()) {
    network.Block(other->node(), server.node(), until);
  }
  for (auto& client : world_.clients()) {
    network.Block(client->node(), server.node(), until);
    network.Block(server.node(), client->node(), until);
  }
}

void Faults::ChangeWeather() {
  Loop& loop = world_.loop();
  Count("weather", nullptr);
  Network::Weather weather;
  if (loop.Chance(0.7)) {
    weather.loss = loop.Between(0, 20) / 100.0;
    weather.doubled = loop.Between(0, 20) / 100.0;
    weather.late = loop.Between(0, 20) / 100.0;
    weather.flip = loop.Between(0, 5) / 100.0;
  }
  world_.network().set_weather(weather);
}

void Faults::HurtCoordinator() {
  Loop& loop = world_.loop();
  Coordinator& coordinator = world_.coordinator();
  if (!coordinator.alive()) return;
  if (loop.Chance(0.5)) {
    Count("coordinator paused", nullptr);
    coordinator.Pause(loop.now() + loop.Between(10, 600) * kMilli);
    return;
  }
  Count("coordinator killed", nullptr);
  coordinator.Kill();
  loop.After(loop.Between(1, 800) * kMilli, [&coordinator] {
    if (!coordinator.alive()) coordinator.Start();
  });
}

// No fault, but what an operator may do amid faults.
void Faults::MovePrimary(const Server& server) {
  const ShardId shard = world_.loop().Between(0, world_.shards() - 1);
  if (world_.coordinator().Transfer(shard, server.node())) {
    ++world_.result().progress["transfers"];
    world_.Trace(
        absl::StrCat("transfer of shard ", shard, " to ", server.node()));
  }
}

void Faults::Drain(const Server& server) {
  Loop& loop = world_.loop();
  Coordinator& coordinator = world_.coordinator();
  coordinator.SetDrained(server.node(), true);
  ++world_.result().progress["servers drained"];
  world_.Trace(absl::StrCat("drain: ", server.node()));
  loop.After(loop.Between(20, 1000) * kMilli, [&coordinator, &server] {
    coordinator.SetDrained(server.node(), false);
  });
}

// An operator looks now and then, also after the healing, for shards that
// nobody leads and will lead, as far as the coordinator knows: whoever has
// everything may be cut off only.
void Faults::PromoteWhatIsLeft() {
  Loop& loop = world_.loop();
  for (ShardId shard = 0; shard < world_.shards(); ++shard) {
    const uint32_t server =
        loop.Chance(0.15) ? 0 : loop.Between(1, world_.servers().size());
    if (!world_.coordinator().PromoteUnsafely(shard, server)) continue;
    ++world_.result().progress["unsafe promotions"];
    world_.Trace(
        absl::StrCat("unsafe promotion of shard ", shard, " on ", server));
  }
  loop.After(loop.Between(100, 1000) * kMilli, [this] { PromoteWhatIsLeft(); });
}

void Faults::DamageState(Server& server) {
  if (!damages_ || !server.alive()) return;
  const ShardId shard = world_.loop().Between(0, world_.shards() - 1);
  HostedShard* host = server.shard(shard);
  if (!host || host->replica().role() != Role::kBackup || host->damaged()) {
    return;
  }
  Count("state damaged", &server);
  host->Damage();
}

void Faults::Heal() {
  over_ = true;
  world_.network().Heal();
  if (!world_.coordinator().alive()) world_.coordinator().Start();
  for (auto& server : world_.servers()) {
    world_.coordinator().SetDrained(server->node(), false);
    server->set_slow_disk(false);
    server->set_unreachable_until(0);
    if (!server->alive()) server->Start();
  }
}

}  // namespace paramo::sim
