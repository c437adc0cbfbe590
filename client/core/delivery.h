// Carries parcels to their servers until they are answered or the deadline has
// passed: windows, retries, new shard maps. A pure state machine: messages and
// time in, effects out; no threads, no sockets, no clock.
//
//   Start ----> ready --Dispatch--> in flight --Claim--> answering
//     |           ^                     |                    | OnReply
//     v           | due, or new map     | OnFailure          v
//   queued     waiting <----------------+------- retryable --+-- final: settled
//   (window)
//
// Order. Pushes of a session go to each shard in the order of their numbers,
// retries too: later ones are kept back while an earlier one waits to be sent
// again. A server holds what comes too early, so out of order it would fill up
// with pushes that wait for one it cannot read. Replies of one request that
// have to be retried go again together, in one request.
//
// What an answer lets go of a call goes in one request to a server. One for
// each shard whose window has moved, and a client that is full would send its
// calls section by section.
//
// What is retried: UNAVAILABLE and broken connections (after a jittered,
// doubling delay), ABORTED (as soon as a newer shard map is here, or after the
// delay), RESOURCE_EXHAUSTED with a retry-after, damaged frames. A retried
// push keeps its number and its payload, byte for byte; what went as a hash of
// its keys goes with them. (A server that does not know the hash says ABORTED,
// NEED_KEYS, and is sent them at once.) When too much fails, every delay is the
// longest (retry_budget.h).
//
// Numbers. A push that gives up at its deadline with a number that no server
// has answered leaves a *filler*: an empty push with that number, resent until
// it is answered. If the push had arrived, the server refuses the filler as
// "same number, other bytes" and the push counts once; if not, the filler
// takes its place and the push, should it still arrive, is refused. Either way
// the number is settled and later pushes are not held up.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/core/call.h"
#include "client/core/retry_budget.h"
#include "client/core/session.h"
#include "common/base/limits.h"
#include "common/base/random.h"
#include "common/routing/shard_map.h"

namespace paramo::client {

// What one server may have before it has answered, of pushes and as much again
// of pulls: beyond it, calls wait their turn here. So pulls that are held until
// other workers come leave room for the push that they wait for. Pushes sent
// again are not held to it: one on which the others wait always reaches its
// server (which reads kStreamInFlightMax at a time).
inline constexpr size_t kRequestsPerServerMax = kStreamInFlightMax / 2;
inline constexpr size_t kBytesPerServerMax = size_t{64} << 20;

// One request to be written and sent. While it is written its call is busy:
// Delivery::Release when done.
struct Outgoing {
  struct Section {
    uint32_t parcel;
    wire::SectionHeader header;
    bool again = false;  // not the parcel's first attempt
  };
  uint64_t flight = 0;  // names the attempt; not the id on the wire
  std::shared_ptr<Call> call;
  uint32_t server = 0;  // index into the map's servers
  std::string address;
  size_t bytes = 0;  // of the request or its reply, the larger; an estimate
  absl::Duration timeout;
  std::vector<Section> sections;  // pushes first
};

// A reply's call, busy until OnReply, and which of its sections still want
// their answer: others have been given up or sent elsewhere, and their rows
// are not to be touched.
struct Claimed {
  std::string address;
  std::shared_ptr<Call> call;     // null: nobody wants the reply
  std::vector<uint32_t> parcels;  // in the order of Outgoing::sections
  std::vector<bool> wanted;
};

// What became of one section.
struct SectionResult {
  wire::SectionReplyHeader header;
  std::string message;
  // The server looked at this section; otherwise at the request as a whole, or
  // its answer could not be used.
  bool answered = true;
};

// What the caller has to do, after releasing its lock.
struct Effects {
  std::vector<Outgoing> send;
  std::vector<std::shared_ptr<Call>> done;
  std::vector<std::string> log;
  bool refresh = false;  // the shard map may be old: ask for a newer one
};

struct DeliveryCounters {
  uint64_t requests = 0;
  uint64_t retries = 0;
};

// Invariants
//   1. A parcel is in at most one live attempt; answers of others are ignored.
//   2. A call is done when no parcel is open and nobody is in its memory.
//   3. Every number taken from a session is settled by an answer, or its
//      session is over.
// Threads: none of its own; the owner serialises all calls.
class Delivery {
 public:
  // `seed`: of the retry jitter.
  explicit Delivery(uint64_t seed) : jitter_(seed) {}

  void OnMap(std::shared_ptr<const ShardMap> map, absl::Duration now,
             Effects& effects);
  const ShardMap* map() const { return map_.get(); }

  // Takes charge of a call whose parcels are made.
  void Start(std::shared_ptr<Call> call, absl::Duration now, Effects& effects);

  // A reply has come: what it is to be read into.
  Claimed Claim(uint64_t flight, absl::Duration now, Effects& effects);
  // It has been read: results[i] is about claimed.parcels[i].
  void OnReply(const Claimed& claimed,
               const std::vector<SectionResult>& results, absl::Duration now,
               Effects& effects);
  // No reply will come. `never_sent`: the request certainly did not leave.
  void OnFailure(uint64_t flight, const absl::Status& why, bool never_sent,
                 absl::Duration now, Effects& effects);

  // A message of the call has been written.
  void Release(const std::shared_ptr<Call>& call, Effects& effects);

  // Does what is due. Call it at NextWake, or earlier.
  void Tick(absl::Duration now, Effects& effects);
  absl::Duration NextWake() const;

  // Fails every call with CANCELLED, and those that come after.
  void Shutdown(Effects& effects);

  // Number of the newest call, and of the oldest one not done (0 = none);
  // fillers are not counted.
  uint64_t newest() const { return last_number_; }
  uint64_t oldest() const { return live_.empty() ? 0 : live_.begin()->first; }
  // Neither calls nor fillers.
  bool idle() const { return live_.empty() && fillers_.empty(); }
  const DeliveryCounters& counters() const { return counters_; }

 private:
  struct Flight {
    std::shared_ptr<Call> call;
    std::vector<uint32_t> parcels;
    std::string address;
    size_t bytes = 0;
  };
  // What one server has been asked, in pushes or in pulls, and has not
  // answered.
  using LoadKey = std::pair<std::string, bool>;  // address, whether in pulls
  struct Load {
    size_t requests = 0;
    size_t bytes = 0;
    std::deque<std::shared_ptr<Call>> waiting;  // for there to be less
  };

  // delivery_send.cc
  void AdmitOrQueue(const std::shared_ptr<Call>& call, uint32_t parcel);
  void Dispatch(const std::shared_ptr<Call>& call, absl::Duration now,
                Effects& effects);
  void SendReady(const std::shared_ptr<Call>& call, absl::Duration now,
                 Effects& effects);
  bool IsSendable(const std::shared_ptr<Call>& call, uint32_t parcel,
                  absl::Duration now, Effects& effects);
  void LetFollow(std::map<uint64_t, std::shared_ptr<Call>>& calls);
  static LoadKey LoadKeyOf(const Call& call, const std::string& address) {
    return {address, !call.is_push};
  }
  void DispatchWaiting(const LoadKey& key, absl::Duration now,
                       Effects& effects);
  Outgoing NewRequest(const std::shared_ptr<Call>& call, uint32_t server,
                      absl::Duration now);
  void AddToRequest(const std::shared_ptr<Call>& call, uint32_t parcel,
                    Outgoing& out);
  bool MayPull(const Call& call, const Parcel& pull, uint64_t flight) const;
  wire::SectionHeader MakeHeader(const Call& call, uint32_t parcel) const;
  void Launch(Outgoing out, Effects& effects);

  // delivery_reply.cc
  void HandleAnswer(const std::shared_ptr<Call>& call, uint32_t parcel,
                    const SectionResult& result, absl::Duration backoff,
                    absl::Duration now, Effects& effects);
  void HandleRefusal(const std::shared_ptr<Call>& call, uint32_t parcel,
                     const SectionResult& result, absl::Duration backoff,
                     absl::Duration now, Effects& effects);
  void RetryLater(Call& call, uint32_t parcel, absl::Status why,
                  absl::Duration delay, bool wants_map, absl::Duration now);
  absl::Duration Backoff(const Call& call, const Claimed& claimed);
  void SettleNumber(const std::shared_ptr<Call>& call, uint32_t parcel);
  void FailParcel(const std::shared_ptr<Call>& call, uint32_t parcel,
                  absl::Status why);
  void EndSession(const std::shared_ptr<Session>& session,
                  const absl::Status& why, Effects& effects);

  // delivery.cc
  void GiveUp(const std::shared_ptr<Call>& call, const absl::Status& why,
              absl::Duration now, Effects& effects);
  void Fill(const Call& call, const std::vector<uint32_t>& parcels,
            absl::Duration now, Effects& effects);
  void Settle(Call& call, uint32_t parcel);
  void WakeBy(Call& call, absl::Duration time);
  void FinishIfDone(const std::shared_ptr<Call>& call, Effects& effects);

  BitGen jitter_;
  RetryBudget budget_;  // of all servers together
  std::shared_ptr<const ShardMap> map_;
  bool shut_down_ = false;
  uint64_t last_number_ = 0;
  uint64_t last_flight_ = 0;
  std::map<uint64_t, std::shared_ptr<Call>> live_;      // by number
  std::map<uint64_t, std::shared_ptr<Call>> fillers_;   // by number
  std::set<std::pair<absl::Duration, uint64_t>> wake_;  // by time, number
  absl::flat_hash_map<uint64_t, Flight> flights_;
  std::map<LoadKey, Load> loads_;
  // Shards on which a push that others wait for has gone out, or is settled.
  std::vector<std::pair<std::shared_ptr<Session>, ShardId>> moved_;
  DeliveryCounters counters_;
};

}  // namespace paramo::client
