#include "tests/unit/server/agreement/agreement_sim.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/clocks.h"

namespace paramo {
namespace {

constexpr size_t kServers = 3;
constexpr uint32_t kRanks = 3;

// Row of incarnation `index` for `round`: who contributed to a round can be
// read from the rows, and from their value how often.
Key KeyOf(size_t index, WorkerClock round) {
  static const std::vector<Key> keys =
      KeysOf(2, AgreementSim::kIncarnationsMax * AgreementSim::kRounds);
  return keys[index * AgreementSim::kRounds + round];
}

v1::JobSpec Spec() {
  v1::JobSpec spec;
  spec.set_name("job");
  spec.set_workers(kRanks);
  spec.set_epochs(1);
  spec.set_examples(1000);
  spec.set_batch(1);
  spec.set_batches_per_data_shard(1);
  spec.set_lease_ms(1000);
  spec.mutable_sync()->set_kind(v1::Sync::BSP);
  return spec;
}

std::vector<MemberView> MembersOf(const v1::JobState& state) {
  std::vector<MemberView> members;
  for (const v1::Member& member : state.members()) {
    members.push_back({member.worker(), member.session(),
                       member.session_epoch(), member.first_clock(),
                       member.left(), member.left_clock()});
  }
  return members;
}

}  // namespace

AgreementSim::AgreementSim(uint64_t seed, Decisions decisions)
    : decisions_(decisions), gen_(seed), dense_(gen_.Below(2) == 0) {
  v1::CreateJobReply created;
  EXPECT_TRUE(jobs_.Create(Spec(), &created).ok());
  job_ = *jobs_.Find(created.job());
  for (size_t i = 0; i < kServers; ++i) {
    Server server;
    server.harness = std::make_unique<ShardHarness>(SyncKind::kBsp);
    servers_.push_back(std::move(server));
    liveness_.Track(static_cast<uint32_t>(i), 1, now_);
  }
  for (uint32_t i = 0; i < kRanks; ++i) Join();
}

void AgreementSim::Run() {
  for (int i = 0; i < 4000; ++i) gen_.Below(60) == 0 ? Fault() : Work();
  Drain();
  Compare();
}

// ---- What happens -----------------------------------------------------------

void AgreementSim::Fault() {
  Worker& worker = *workers_[gen_.Below(workers_.size())];
  // Somebody must be left to replace the last ones.
  const bool may_die = workers_.size() + 2 < kIncarnationsMax;
  switch (gen_.Below(6)) {
    case 0:
      if (worker.active() && may_die) Crash(worker);
      break;
    case 1:
      if (may_die) worker.silent = true;  // and goes on, not knowing
      break;
    case 2:
      Restart(servers_[gen_.Below(kServers)]);
      break;
    default:
      Join();
  }
}

void AgreementSim::Work() {
  Server& server = servers_[gen_.Below(kServers)];
  switch (gen_.Below(20)) {
    case 0:
      return DeliverState(server);
    case 1:
    case 2:
      return SendBeat(server);
    case 3:
    case 4:
      return DeliverBeat(server);
    case 5:
      return Pass();
    default:
      return Step(*workers_[gen_.Below(workers_.size())]);
  }
}

bool AgreementSim::Done() const {
  std::set<SessionId> live;
  for (const MemberView& member : MembersOf(states_.at(version_))) {
    if (!member.left) live.insert(member.session);
  }
  bool someone = false;
  for (const auto& worker : workers_) {
    for (const Channel& channel : worker->channels) {
      if (!channel.messages.empty()) return false;
    }
    const bool gone = worker->silent || worker->crashed || worker->out;
    if (gone && live.contains(worker->member.session())) return false;
    if (gone) continue;
    if (!worker->started) return false;
    if (worker->clock < kRounds) return false;
    someone = true;
  }
  return someone && !job_->undecided();
}

// No more faults; whoever is gone is replaced, so that rounds go on.
void AgreementSim::Drain() {
  for (int i = 0; i < 20'000; ++i) {
    if (Done()) break;
    Pass();
    if (i % 20 == 0) Join();
    for (Server& server : servers_) {
      SendBeat(server);
      DeliverBeat(server);
      DeliverState(server);
    }
    for (auto& worker : workers_) {
      for (int k = 0; k < 8; ++k) Step(*worker);
    }
  }
  findings_.stuck = !Done();
  for (Server& server : servers_) {
    while (server.applied < version_) DeliverState(server);
  }
}

void AgreementSim::Join() {
  if (workers_.size() >= kIncarnationsMax) return;
  auto worker = std::make_unique<Worker>();
  if (!job_->Join({}, jobs_.sessions(), now_, &worker->member).ok()) return;
  worker->index = workers_.size();
  worker->channels.resize(kServers);
  if (worker->index >= kRanks) ++findings_.comebacks;
  workers_.push_back(std::move(worker));
  Publish();
}

// The end of a step of the coordinator.
void AgreementSim::Publish() {
  if (decisions_ == Decisions::kAtOnce && job_->undecided()) {
    job_->NoteOpenRound(liveness_.OpenRound(job_->id()));
    job_->Decide();
  }
  if (!changes_.state_changed()) return;
  job_->FillState(&states_[++version_]);
  changes_.Clear();
  jobs_.Ask(version_);
}

void AgreementSim::Pass() {
  now_ += absl::Milliseconds(100);
  for (auto& worker : workers_) {
    if (worker->silent || worker->crashed) continue;
    v1::WorkerHeartbeatRequest beat;
    beat.set_worker(worker->member.worker());
    beat.set_session(worker->member.session());
    beat.mutable_progress()->set_clock(worker->clock);
    v1::WorkerHeartbeatReply reply;
    (void)job_->Heartbeat(beat, now_, &reply);  // it may be out already
  }
  const auto open_round = [this](uint32_t job) {
    return liveness_.OpenRound(job);
  };
  jobs_.Tick(now_, open_round);
  jobs_.Decide(open_round, [this](uint64_t version) {
    return liveness_.FindBehind(version).empty();
  });
  Publish();
}

// ---- Servers ----------------------------------------------------------------

void AgreementSim::DeliverState(Server& server) {
  if (server.applied >= version_) return;
  server.applied += 1 + gen_.Below(version_ - server.applied);
  const v1::JobState& state = states_[server.applied];
  JobView& job = server.harness->view().jobs[0];
  job.gathering = state.phase() == v1::JOB_PHASE_WAITING;
  job.members = MembersOf(state);
  server.harness->Apply();
}

void AgreementSim::SendBeat(Server& server) {
  if (server.beats.size() >= 4) return;
  server.beats.push_back({server.applied, server.harness->rounds().Snapshot()});
}

void AgreementSim::DeliverBeat(Server& server) {
  if (server.beats.empty()) return;
  const Beat beat = server.beats.front();
  server.beats.pop_front();
  const auto id = static_cast<uint32_t>(&server - servers_.data());
  EXPECT_TRUE(
      liveness_.Hear(id, server.incarnation, beat.applied, now_, beat.rounds)
          .ok());
}

// An orderly one: what it had not told is in its state.
void AgreementSim::Restart(Server& server) {
  ++findings_.restarts;
  server.harness->shard().StopServing();
  server.harness->Restart();
  server.beats.clear();
  const auto id = static_cast<uint32_t>(&server - servers_.data());
  liveness_.Forget(id, server.incarnation);
  liveness_.Track(id, ++server.incarnation, now_);
}

// ---- Workers ----------------------------------------------------------------

void AgreementSim::Start(Worker& worker) {
  const std::optional<WorkerClock> first =
      job_->FirstClockOf(worker.member.worker(), worker.member.session());
  if (!first.has_value()) return;
  if (worker.starts_at == 0) worker.starts_at = version_;
  if (!liveness_.FindBehind(worker.starts_at).empty()) return;
  worker.clock = *first;
  worker.started = true;
  StartPulls(worker);
}

void AgreementSim::Step(Worker& worker) {
  if (!worker.started && !worker.crashed) Start(worker);
  if (!worker.started) return;
  const size_t to = gen_.Below(kServers);
  if (!worker.channels[to].messages.empty()) return Deliver(worker, to);
  if (!worker.active() || worker.clock >= kRounds) return;
  if (!worker.pushing) {
    if (!PullsDone(worker)) return;
    worker.pushing = true;
    for (Channel& channel : worker.channels) {
      channel.messages.push_back({worker.clock, /*end=*/false});
      channel.messages.push_back({worker.clock, /*end=*/true});
    }
    return;
  }
  for (const Channel& channel : worker.channels) {
    if (!channel.messages.empty()) return;
  }
  worker.pushing = false;
  ++worker.clock;
  if (worker.clock < kRounds) StartPulls(worker);
}

wire::SectionHeader AgreementSim::HeaderOf(const Worker& worker,
                                           size_t to) const {
  wire::SectionHeader header = servers_[to].harness->Header();
  header.session = worker.member.session();
  header.session_epoch = worker.member.session_epoch();
  return header;
}

void AgreementSim::StartPulls(Worker& worker) {
  const size_t first = gen_.Below(kServers);
  for (size_t to = 0; to < kServers; ++to) {
    if (!dense_ && to != first && gen_.Below(2) == 0) continue;
    wire::SectionHeader header = HeaderOf(worker, to);
    header.clock = worker.clock;
    worker.channels[to].pull =
        servers_[to].harness->Pull(header, {KeyOf(0, 0)});
  }
}

// A pull that a restart broke off is made again.
bool AgreementSim::PullsDone(Worker& worker) {
  bool done = true;
  for (size_t to = 0; to < kServers; ++to) {
    auto& pull = worker.channels[to].pull;
    if (pull == nullptr) continue;
    if (!pull->done()) {
      done = false;
    } else if (pull->code() == absl::StatusCode::kOk) {
      pull = nullptr;
    } else if (pull->code() == absl::StatusCode::kFailedPrecondition) {
      worker.out = true;
    } else {
      wire::SectionHeader header = HeaderOf(worker, to);
      header.clock = worker.clock;
      pull = servers_[to].harness->Pull(header, {KeyOf(0, 0)});
      done = false;
    }
  }
  return done && !worker.out;
}

void AgreementSim::Deliver(Worker& worker, size_t to) {
  Channel& channel = worker.channels[to];
  const Message message = channel.messages.front();
  channel.messages.pop_front();
  wire::SectionHeader header = HeaderOf(worker, to);
  header.clock = message.clock;
  header.seq = ++channel.seq;
  std::vector<Key> keys;
  if (message.end) {
    header.flags = wire::kFlagEndOfClock;
  } else {
    keys.push_back(KeyOf(worker.index, message.clock));
  }
  const std::vector<float> ones(keys.size() * kDim, 1);
  const auto sent = servers_[to].harness->Push(header, keys, ones);
  EXPECT_TRUE(sent->done());
  if (sent->code() != absl::StatusCode::kOk) worker.out = true;
}

// What it had sent may still arrive, on each connection up to some point.
void AgreementSim::Crash(Worker& worker) {
  worker.crashed = true;
  std::set<size_t> left;
  for (Channel& channel : worker.channels) {
    channel.messages.resize(gen_.Below(channel.messages.size() + 1));
    left.insert(channel.messages.size());
    // Its pulls are nobody's any more, but a shard may hold them parked.
  }
  if (worker.pushing && left.size() > 1) ++findings_.split_deaths;
}

// ---- The comparison ---------------------------------------------------------

void AgreementSim::Complain(uint64_t& count, const std::string& what) {
  if (findings_.first.empty()) findings_.first = what;
  ++count;
}

std::string AgreementSim::Describe(size_t index, WorkerClock round) const {
  return absl::StrCat("incarnation ", index, " (rank ",
                      workers_[index]->member.worker(), "), round ", round);
}

AgreementSim::Counted AgreementSim::CountedOn(Server& server) {
  Counted counted;
  std::map<WorkerClock, std::vector<float>> sums;
  for (size_t index = 0; index < workers_.size(); ++index) {
    for (WorkerClock round = 0; round < kRounds; ++round) {
      const float sum = server.harness->Row(KeyOf(index, round))[0];
      if (sum == 0) continue;
      counted[round].insert(index);
      sums[round].push_back(sum);
    }
  }
  for (const auto& [round, rows] : sums) {
    const float mean = -1.0f / static_cast<float>(rows.size());
    for (const float row : rows) {
      if (row == mean) continue;
      Complain(findings_.wrong_sums,
               absl::StrCat("round ", round, ": ", row, " instead of ", mean));
    }
  }
  return counted;
}

void AgreementSim::Compare() {
  std::map<SessionId, WorkerClock> without;  // first round without it
  for (const MemberView& member : MembersOf(states_[version_])) {
    if (member.left) without[member.session] = member.left_clock;
  }
  findings_.deaths = without.size();
  std::vector<Counted> shards;
  for (Server& server : servers_) {
    shards.push_back(CountedOn(server));
    findings_.rounds += server.harness->counters().rounds.Value();
    findings_.dropped += server.harness->counters().contributions_dead.Value();
  }
  for (WorkerClock round = 0; round < kRounds; ++round) {
    for (const auto& worker : workers_) {
      const auto left = without.find(worker->member.session());
      size_t on = 0;
      for (Counted& counted : shards) on += counted[round].count(worker->index);
      if (left != without.end() && round >= left->second && on > 0) {
        Complain(findings_.after_death,
                 absl::StrCat(Describe(worker->index, round), ": counted by ",
                              on, " shards, is out from ", left->second));
      }
      // Its last step before that may have reached some shards only.
      const bool may_differ = left != without.end() && round < left->second;
      if (!may_differ && on != 0 && on != kServers) {
        Complain(findings_.rounds_differ,
                 absl::StrCat(Describe(worker->index, round), ": counted by ",
                              on, " of ", kServers, " shards"));
      }
      const bool gave = left == without.end() && worker->started &&
                        round >= job_->FirstClockOf(worker->member.worker(),
                                                    worker->member.session())
                                     .value_or(kRounds) &&
                        round < worker->clock;
      if (gave && on != kServers && !findings_.stuck) {
        Complain(findings_.lost, Describe(worker->index, round));
      }
    }
  }
}

}  // namespace paramo
