// What is behind a DataChannel: its requests, its stream, and the decisions
// about both. No gRPC here.
//
//   idle --Send--> connecting --Hello answered--> ready
//    ^  (not before        |                        |
//    |   retry_at_)        v                        v
//    +----------------- stream ended: every request fails
//
// Invariants, under mu_:
//   1. A request is in requests_ from Send until its done is taken out to be
//      called; whoever takes it out calls it. So it is called exactly once.
//   2. queue_ holds the ids not yet written, in order; ids of requests that
//      are gone stay in it and are skipped.
//   3. sent_ = requests in requests_ that were written to the present stream.
//   4. stream_ is null exactly when idle, or closed and drained.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "common/base/mutex.h"
#include "common/base/random.h"
#include "common/transport/client_loop.h"
#include "common/transport/client_stream.h"
#include "common/transport/data_client.h"
#include "common/transport/shm_client.h"

namespace paramo {

// How long to wait after `failures` + 1 attempts that failed: a half to the
// whole, by `share` in [0, 1), of kReconnectMinMs doubled `failures` times, or
// of kReconnectMaxMs where that is less. So clients that lost one server do
// not return in step.
absl::Duration ReconnectDelay(int failures, double share);

class ChannelCore final : public ClientStreamEvents,
                          public TimerTarget,
                          public std::enable_shared_from_this<ChannelCore> {
 public:
  ChannelCore(ClientLoop& loop, DataChannel::Options options);

  const DataChannel::Options& options() const { return options_; }
  uint64_t NextId() { return next_id_.fetch_add(1, std::memory_order_relaxed); }
  void Send(uint64_t id, Message message, absl::Duration timeout,
            DataChannel::Done done);
  void Cancel(uint64_t id);
  void Close();
  size_t outstanding() const;
  Buffer MakeBlock(size_t bytes, size_t reply_bytes);
  DataChannel::ShmStats shm_stats() const;

 private:
  enum class State { kIdle, kConnecting, kReady, kClosed };

  struct Request {
    Message message;  // until written
    size_t bytes = 0;
    DataChannel::Done done;
    absl::Duration deadline;  // on the loop's clock
    absl::Duration timeout;
    bool sent = false;
    uint64_t heard_before = 0;  // heard_ when it was sent
  };

  // A done and what to call it with, once mu_ is released.
  using Outcome = std::pair<DataChannel::Done, absl::Status>;

  // A write that was decided on and is yet to be made.
  struct Write {
    std::shared_ptr<ClientStream> stream;  // null: nothing to write now
    uint64_t id = 0;
    Message message;
    std::shared_ptr<const ShmBlock> block;  // null: it goes by gRPC
  };

  void OnStarted(ClientStream* stream) override;
  void OnReply(ClientStream* stream, Rope reply) override;
  void OnWritten(ClientStream* stream) override;
  void OnEnded(ClientStream* stream, const absl::Status& status) override;
  void OnTimer(absl::Duration now) override;

  void OnHello(ClientStream* stream, const Rope& reply);
  // Puts a reply that lies in shared memory in the place of its envelope;
  // false when it is damaged.
  bool FetchReply(ClientStream* stream, uint64_t id, Rope& reply);
  void OnDamage(ClientStream* stream);
  void SendNext();  // writes the next request, when one can go
  void SendProbe(uint64_t id);

  absl::Status Admit(size_t bytes, absl::Duration timeout, absl::Duration now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Connect(absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Write NextWrite() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Removes the request from every index and gives its done.
  DataChannel::Done Take(uint64_t id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::vector<Outcome> TakeAll(const absl::Status& sent,
                               const absl::Status& unsent)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void WakeBy(absl::Duration at) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // When to ask a silent stream whether it works; never, when it owes nothing.
  absl::Duration ProbeAt() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Duration Backoff() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  static void Call(std::vector<Outcome> outcomes);

  // Fixed at construction.
  ClientLoop& loop_;
  const DataChannel::Options options_;

  std::atomic<uint64_t> next_id_{2};  // 1 is the Hello's, 0 is "none"

  mutable Mutex mu_;
  State state_ ABSL_GUARDED_BY(mu_) = State::kIdle;
  std::shared_ptr<ClientStream> stream_ ABSL_GUARDED_BY(mu_);
  // Of stream_, once it is ready, if the server is on this machine.
  std::shared_ptr<ShmClient> shm_ ABSL_GUARDED_BY(mu_);
  // What the server may still read, or write to, also for requests that are
  // waited for no longer.
  absl::flat_hash_map<uint64_t, std::shared_ptr<const ShmBlock>> blocks_
      ABSL_GUARDED_BY(mu_);
  DataChannel::ShmStats shm_stats_ ABSL_GUARDED_BY(mu_);
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  absl::Duration write_by_ ABSL_GUARDED_BY(mu_);  // of a request being written
  absl::flat_hash_map<uint64_t, Request> requests_ ABSL_GUARDED_BY(mu_);
  std::deque<uint64_t> queue_ ABSL_GUARDED_BY(mu_);
  size_t queue_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  size_t sent_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t heard_ ABSL_GUARDED_BY(mu_) = 0;  // replies, over all streams
  // Since when the stream owes answers and has given none; of sent_ > 0.
  absl::Duration silent_since_ ABSL_GUARDED_BY(mu_);
  absl::btree_set<std::pair<absl::Duration, uint64_t>> deadlines_
      ABSL_GUARDED_BY(mu_);
  absl::Duration wakes_at_ ABSL_GUARDED_BY(mu_) = absl::InfiniteDuration();

  // Connecting.
  absl::Duration connect_by_ ABSL_GUARDED_BY(mu_);
  absl::Duration ready_since_ ABSL_GUARDED_BY(mu_);
  absl::Duration retry_at_ ABSL_GUARDED_BY(mu_) = -absl::InfiniteDuration();
  int failures_ ABSL_GUARDED_BY(mu_) = 0;           // in a row
  absl::Status refusal_ ABSL_GUARDED_BY(mu_);       // why we end the stream
  absl::Status last_failure_ ABSL_GUARDED_BY(mu_);  // why we are idle
  BitGen jitter_ ABSL_GUARDED_BY(mu_);
};

// Marks a status for NeverSent().
absl::Status MarkNeverSent(absl::Status status);

}  // namespace paramo
