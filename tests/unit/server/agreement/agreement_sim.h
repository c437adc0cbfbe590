// Real shards, one per server, and the coordinator's real state machines, with
// everything between them (pushes, pulls, heartbeats, states) delivered in an
// order drawn from a seed.
//
//   worker --pull, push--> shard        each message by itself, in order per
//                                       shard, or never when its sender died
//   server --beat--------> coordinator  applied version and open rounds of when
//                                       it was sent, however late it comes
//   coordinator --state--> server       versions may be skipped
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "paramo/v1/control.pb.h"
#include "server/coordinator/jobs.h"
#include "server/coordinator/liveness.h"
#include "tests/unit/server/shard/shard_harness.h"

namespace paramo {

class AgreementSim {
 public:
  static constexpr WorkerClock kRounds = 40;
  static constexpr size_t kIncarnationsMax = 16;

  enum class Decisions {
    kWhenShardsStandStill,
    // A control: the coordinator goes by what it has heard so far.
    kAtOnce,
  };

  AgreementSim(uint64_t seed, Decisions decisions);

  // Faults and work in random order, then work only until all is done, then
  // the comparison of the shards.
  void Run();

  struct Findings {
    uint64_t after_death =
        0;  // contributions counted from the decided round on
    uint64_t rounds_differ = 0;  // same round, other contributors
    uint64_t lost = 0;           // of a live worker, acknowledged, in no round
    uint64_t wrong_sums = 0;  // not the mean over its contributors, each once
    bool stuck = false;
    std::string first;  // words for the first of these
    // What happened, to know that a run meant something.
    uint64_t rounds = 0;  // over all shards
    uint64_t deaths = 0;
    uint64_t split_deaths = 0;  // on some shards the last step, on others not
    uint64_t dropped = 0;       // contributions that shards counted as dead
    uint64_t comebacks = 0;
    uint64_t restarts = 0;
  };
  const Findings& findings() const { return findings_; }

 private:
  struct Beat {
    uint64_t applied = 0;
    std::map<uint32_t, WorkerClock> rounds;
  };
  struct Server {
    std::unique_ptr<ShardHarness> harness;
    uint64_t incarnation = 1;
    uint64_t applied = 0;
    std::deque<Beat> beats;  // on their way
  };
  // One section: the gradient of a step, or its end.
  struct Message {
    WorkerClock clock = 0;
    bool end = false;
  };
  struct Channel {  // to one shard
    std::deque<Message> messages;
    SeqNo seq = 0;
    std::unique_ptr<ShardHarness::Sent> pull;
  };
  struct Worker {  // one incarnation
    size_t index = 0;
    v1::JoinJobReply member;
    std::vector<Channel> channels;
    WorkerClock clock = 0;
    uint64_t starts_at = 0;  // version that servers must have; 0 = not known
    bool started = false;
    bool pushing = false;
    bool silent = false;   // its heartbeats do not come any more
    bool crashed = false;  // nor does anything else
    bool out = false;      // a shard has told it so
    bool active() const { return started && !crashed && !out; }
  };

  void Join();
  void Publish();
  void Pass();
  void DeliverState(Server& server);
  void DeliverBeat(Server& server);
  void SendBeat(Server& server);
  void Restart(Server& server);
  void Step(Worker& worker);
  void Deliver(Worker& worker, size_t to);
  void Crash(Worker& worker);
  void Start(Worker& worker);
  void StartPulls(Worker& worker);
  bool PullsDone(Worker& worker);
  void Fault();
  void Work();
  void Drain();
  bool Done() const;

  using Counted = std::map<WorkerClock, std::set<size_t>>;
  Counted CountedOn(Server& server);
  void Compare();
  void Complain(uint64_t& count, const std::string& what);
  wire::SectionHeader HeaderOf(const Worker& worker, size_t to) const;
  std::string Describe(size_t index, WorkerClock round) const;

  const Decisions decisions_;
  BitGen gen_;
  const bool dense_;  // every step pulls from every shard
  absl::Duration now_ = absl::Seconds(100);
  Changes changes_;
  Jobs jobs_{changes_};
  Job* job_ = nullptr;
  Liveness liveness_;
  std::map<uint64_t, v1::JobState> states_;  // by version
  uint64_t version_ = 0;
  std::vector<Server> servers_;
  std::vector<std::unique_ptr<Worker>> workers_;
  Findings findings_;
};

}  // namespace paramo
