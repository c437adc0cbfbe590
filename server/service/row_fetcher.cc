#include "server/service/row_fetcher.h"

#include <pthread.h>

#include <utility>

namespace paramo {
namespace {

// Read together at most: some 0.5 ms, which the first of them waits for the
// last.
constexpr size_t kRowsTogether = 128;

}  // namespace

void RowFetcher::Start(int threads) {
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this] { Run(); });
    pthread_setname_np(threads_.back().native_handle(), "row-fetch");
  }
}

void RowFetcher::Stop() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    wake_.NotifyAll();
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void RowFetcher::Fetch(RowsAsked asked, std::function<void(FetchedRows)> done) {
  MutexLock lock(mu_);
  queue_.emplace_back(std::move(asked), std::move(done));
  wake_.NotifyOne();
}

void RowFetcher::Run() {
  Fetching taken;
  while (Take(taken)) {
    std::vector<FetchedRows> fetched = FetchRows(rows_, taken.asked);
    for (size_t i = 0; i < fetched.size(); ++i) {
      taken.done[i](std::move(fetched[i]));
    }
  }
}

// Waits for work. False: there will be none.
bool RowFetcher::Take(Fetching& taken) {
  taken.asked.clear();
  taken.done.clear();
  MutexLock lock(mu_);
  while (queue_.empty() && !stopping_) wake_.Wait(mu_);
  size_t rows = 0;
  while (!stopping_ && !queue_.empty() && rows < kRowsTogether) {
    auto& [asked, done] = queue_.front();
    rows += asked.rows();
    taken.asked.push_back(std::move(asked));
    taken.done.push_back(std::move(done));
    queue_.pop_front();
  }
  return !stopping_;
}

}  // namespace paramo
