// The threads that read evicted rows back from the store.
#pragma once

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "common/base/mutex.h"
#include "server/store/row_fetch.h"

namespace paramo {

// What shards ask for while all threads are busy is read together: a request
// misses a few rows in each of many shards, and RocksDB finds 32 rows in much
// less than eight times what it takes for four.
//
// Threads: any may ask.
class RowFetcher {
 public:
  explicit RowFetcher(const RowStore& rows) : rows_(rows) {}
  ~RowFetcher() { Stop(); }

  void Start(int threads);
  // What is being read is handed out still, the rest is dropped.
  void Stop();

  // `done` is called on another thread; not when it has been stopped meanwhile.
  void Fetch(RowsAsked asked, std::function<void(FetchedRows)> done);

 private:
  struct Fetching {
    std::vector<RowsAsked> asked;
    std::vector<std::function<void(FetchedRows)>> done;
  };

  void Run();
  bool Take(Fetching& taken);

  const RowStore& rows_;
  std::vector<std::thread> threads_;
  Mutex mu_;
  CondVar wake_;
  std::deque<std::pair<RowsAsked, std::function<void(FetchedRows)>>> queue_
      ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace paramo
