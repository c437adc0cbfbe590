// What a client knows of the cluster: two threads that watch its state.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/core/control.h"
#include "client/core/table_handle.h"
#include "common/base/mutex.h"
#include "common/routing/shard_map.h"

namespace paramo::client {

// Watches two addresses at a time where there are two, so that one that says
// nothing any more, and does not say that either, keeps nothing back. Goes to
// another one when a stream ends or is asked to be fresher. Never goes back to
// an older version, nor to another cluster.
//
// Life: Start once; Stop (or the destructor) joins the threads.
// Threads: all methods from any.
class View {
 public:
  struct Options {
    // Called with every newer map, on one of the view's threads; an older one
    // may come last.
    std::function<void(std::shared_ptr<const ShardMap>)> on_map;
    std::function<void(const std::string& line)> log;
  };

  // `core` is noted in the handles.
  View(Control& control, Core* core, Options options);
  ~View();

  void Start();
  void Stop();

  // Waits for a map in which every shard has a server.
  // Errors: UNAVAILABLE  with the reason of the last failure
  absl::Status WaitComplete(absl::Duration timeout);

  std::shared_ptr<const ShardMap> map();

  // The map seems old: looks elsewhere, at most every 250 ms, instead of where
  // it has looked for longest.
  void Refresh();

  // The handle of a table in the newest state, made if need be.
  // Errors: NOT_FOUND  the state does not have it
  //         DATA_LOSS  there is no such table (convert.h)
  absl::StatusOr<std::shared_ptr<const TableHandle>> FindTable(
      const std::string& name);
  // The handle of a table that the coordinator has just described.
  std::shared_ptr<const TableHandle> AddTable(TableInfo info);

 private:
  struct Watcher {
    std::thread thread;
    std::string address;                  // now, or last; empty: none yet
    std::shared_ptr<StateStream> stream;  // shared by its thread and Refresh
    absl::Time since;
  };

  void Run(Watcher& me);
  void WatchOne(Watcher& me);
  void Accept(std::unique_ptr<v1::ClusterState> state);
  // False when it is time to stop.
  bool TakeAddress(Watcher& me, size_t& turn);
  std::shared_ptr<const TableHandle> AddTableLocked(TableInfo info)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Control& control_;
  Core* const core_;
  const Options options_;

  Mutex mu_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::array<Watcher, 2> watchers_ ABSL_GUARDED_BY(mu_);  // but for `thread`
  std::unique_ptr<v1::ClusterState> state_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<const ShardMap> map_ ABSL_GUARDED_BY(mu_);
  absl::Status last_failure_ ABSL_GUARDED_BY(mu_);
  absl::Time last_news_ ABSL_GUARDED_BY(mu_);  // or last Refresh
  std::map<uint32_t, std::shared_ptr<const TableHandle>> tables_  // by id
      ABSL_GUARDED_BY(mu_);
};

}  // namespace paramo::client
