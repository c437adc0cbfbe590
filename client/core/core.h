// The machinery behind a Cluster: joins the parts, owns the threads.
//
//   caller's thread     Start -> WriteRequest -> DataChannel::Send
//   executor thread     reply -> Claim -> ReadReply -> OnReply -> future
//   timer thread        Delivery::Tick: retries, deadlines, "still waiting"
//   view thread         newer shard maps -> Delivery::OnMap
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/core/call.h"
#include "client/core/control.h"
#include "client/core/delivery.h"
#include "client/core/sent_lists.h"
#include "client/core/view.h"
#include "common/base/mutex.h"
#include "common/clock/clock.h"
#include "common/mem/rope.h"
#include "paramo/cluster.h"

namespace paramo {

class ClientExecutor;
class DataChannel;

namespace client {

// What is said about a call besides its parts.
struct CallOptions {
  uint64_t clock = 0;
  uint32_t examples = 1;
  uint64_t data_position = 0;
  bool end_of_clock = false;
  std::string codec;  // of every part; empty: of each its table's
  std::chrono::milliseconds deadline{0};
};

// Lock order: `mu_` (the state machine) and `channels_mu_` are never held
// together, and neither while a message is written, read or sent.
// Threads: all public methods from any.
class Core {
 public:
  static Result<std::unique_ptr<Core>> Connect(ConnectOptions options);
  ~Core();

  Control& control() { return *control_; }
  View& view() { return *view_; }
  absl::Duration Deadline(std::chrono::milliseconds wanted) const;

  // The session of pushes outside any job, which the first of them opens; null
  // before that.
  std::shared_ptr<Session> OpenedSession();

  // Checks the parts, makes the call and sends it. `session` may be null for
  // pulls.
  Future<Status> Pull(std::span<const PullPart> parts,
                      std::shared_ptr<Session> session,
                      const CallOptions& options);
  Future<Result<PushAck>> Push(std::span<const PushPart> pushes,
                               std::span<const PullPart> pulls,
                               std::shared_ptr<Session> session,
                               const CallOptions& options);
  // The same in the default session.
  Future<Result<PushAck>> Push(std::span<const PushPart> pushes,
                               std::span<const PullPart> pulls,
                               const CallOptions& options);

  Status Flush(std::chrono::milliseconds deadline);
  ClusterStats stats();
  Clock& clock() { return clock_; }

  static Table MakeTable(std::shared_ptr<const TableHandle> handle) {
    return Table(std::move(handle));
  }
  static Tensor MakeTensor(std::shared_ptr<const TableHandle> handle) {
    return Tensor(std::move(handle));
  }

 private:
  // The connections to one server: big messages do not stand in front of
  // small ones. Fixed once they are there.
  struct Lanes {
    std::unique_ptr<DataChannel> small;
    std::unique_ptr<DataChannel> bulk;
    std::shared_ptr<SentLists> sent_lists;  // both channels' Hellos tell it
  };

  explicit Core(ConnectOptions options);

  Result<std::shared_ptr<Session>> DefaultSession();
  std::shared_ptr<Call> NewCall(std::shared_ptr<Session> session,
                                const CallOptions& options);
  Status AddPart(const PullPart& in, const std::string& codec, Call& call);
  Status AddPart(const PushPart& in, const std::string& codec, Call& call);
  void Start(std::shared_ptr<Call> call);

  // Runs `step` of the state machine under the lock, then what it asks for.
  void Step(const std::function<void(absl::Duration now, Effects&)>& step);
  void Collect(Effects& effects) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Perform(Effects effects);
  void Send(Outgoing out);
  void OnDone(uint64_t flight, absl::StatusOr<Rope> reply,
              SentLists& sent_lists);
  void RunTimer();

  Lanes& LanesTo(const std::string& address);
  std::unique_ptr<DataChannel> MakeChannel(
      const std::string& address, const char* lane, bool shm,
      const std::shared_ptr<SentLists>& sent_lists);

  const ConnectOptions options_;
  SteadyClock clock_;
  std::unique_ptr<ClientExecutor> executor_;
  std::unique_ptr<Control> control_;
  std::unique_ptr<View> view_;
  std::thread timer_;

  Mutex mu_;
  CondVar timer_wake_;
  CondVar reported_;
  Delivery delivery_ ABSL_GUARDED_BY(mu_);
  absl::Duration timer_until_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  // Calls that are over, but whose futures are not ready yet.
  std::set<uint64_t> reporting_ ABSL_GUARDED_BY(mu_);

  Mutex channels_mu_;
  std::map<std::string, Lanes> channels_ ABSL_GUARDED_BY(channels_mu_);

  Mutex opening_mu_;  // held while the session is opened; taken first
  Mutex session_mu_;
  std::shared_ptr<Session> session_ ABSL_GUARDED_BY(session_mu_);

  // Relaxed counters.
  std::atomic<uint64_t> pushes_{0};
  std::atomic<uint64_t> pulls_{0};
  std::atomic<int64_t> parked_us_{0};
  std::atomic<uint64_t> bytes_sent_{0};
  std::atomic<uint64_t> bytes_received_{0};
};

}  // namespace client
}  // namespace paramo
