// Asks every server that is up, all the time, where its clients ask it, and
// tells Liveness. A server that cannot be reached there may well be able to
// reach others: its heartbeats go on, and it is of no use.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <thread>

#include "common/base/mutex.h"
#include "common/transport/data_client.h"
#include "server/coordinator/awake_time.h"
#include "server/coordinator/liveness.h"

namespace paramo {

namespace v1 {
class ClusterState;
class Server;
}  // namespace v1

// Has a thread that asks, another that hears the answers, and a connection to
// each server. Life: of a term; the destructor ends all of it.
class Prober {
 public:
  // The newest state; null: none, nobody is asked.
  using ReadState = std::function<std::shared_ptr<const v1::ClusterState>()>;

  // `liveness` and `time` outlive it.
  Prober(Liveness& liveness, AwakeTime& time, ReadState state);
  ~Prober();

 private:
  struct Target {
    uint64_t incarnation = 0;
    absl::Duration connected_at;  // or tried to
    std::unique_ptr<DataChannel> channel;
  };

  void Run();
  void AskAll();
  void Ask(uint64_t cluster_id, const v1::Server& server);
  std::unique_ptr<DataChannel> Connect(uint64_t cluster_id,
                                       const v1::Server& server,
                                       absl::Duration now);

  Liveness& liveness_;
  AwakeTime& time_;
  const ReadState state_;
  ClientExecutor executor_{/*threads=*/1};
  std::map<uint32_t, Target> targets_;  // of the thread alone, by server

  Mutex mu_;
  CondVar wake_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;

  std::thread thread_;  // last: uses all of the above
};

}  // namespace paramo
