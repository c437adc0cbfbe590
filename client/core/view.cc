#include "client/core/view.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/core/convert.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "paramo/v1/cluster.pb.h"

namespace paramo::client {
namespace {

constexpr absl::Duration kRefreshEvery = absl::Milliseconds(250);
constexpr absl::Duration kPauseFirst = absl::Milliseconds(10);
constexpr absl::Duration kPauseMax = absl::Milliseconds(500);

}  // namespace

View::View(Control& control, Core* core, Options options)
    : control_(control), core_(core), options_(std::move(options)) {}

View::~View() { Stop(); }

void View::Start() {
  MutexLock lock(mu_);
  for (Watcher& watcher : watchers_) {
    watcher.thread = std::thread([this, &watcher] { Run(watcher); });
  }
}

void View::Stop() {
  std::array<std::thread, 2> threads;
  {
    MutexLock lock(mu_);
    stopping_ = true;
    for (size_t i = 0; i < watchers_.size(); ++i) {
      if (watchers_[i].stream != nullptr) watchers_[i].stream->Cancel();
      threads[i] = std::move(watchers_[i].thread);
    }
    changed_.NotifyAll();
  }
  for (std::thread& thread : threads) {
    if (thread.joinable()) thread.join();
  }
}

void View::Run(Watcher& me) {
  absl::Duration pause = kPauseFirst;
  for (size_t turn = 0; TakeAddress(me, turn);) {
    const uint64_t before = [this] {
      MutexLock lock(mu_);
      return map_ == nullptr ? 0 : map_->version();
    }();
    WatchOne(me);
    MutexLock lock(mu_);
    const bool news = map_ != nullptr && map_->version() > before;
    pause = news ? kPauseFirst : std::min(pause * 2, kPauseMax);
    const absl::Time until = absl::Now() + pause;
    while (!stopping_ && absl::Now() < until) {
      changed_.WaitFor(mu_, until - absl::Now());
    }
  }
}

// The seeds in turn, and between two rounds of them the servers known; never
// where the other watcher is. The second one begins anywhere, so that not all
// clients come to the same server.
bool View::TakeAddress(Watcher& me, size_t& turn) {
  MutexLock lock(mu_);
  const bool second = &me == &watchers_[1];
  const Watcher& other = watchers_[second ? 0 : 1];
  bool anywhere = second && me.address.empty();
  while (!stopping_) {
    std::vector<std::string> places = control_.addresses();
    if (map_ != nullptr) {
      for (const auto& server : map_->servers()) {
        places.push_back(server.address);
      }
    }
    std::erase(places, other.address);
    if (!places.empty() && (map_ != nullptr || !second)) {
      if (std::exchange(anywhere, false)) turn = MakeRandomId();
      me.address = places[turn++ % places.size()];
      return true;
    }
    changed_.Wait(mu_);
  }
  return false;
}

void View::WatchOne(Watcher& me) {
  std::shared_ptr<StateStream> stream;
  {
    MutexLock lock(mu_);
    if (stopping_) return;
    stream =
        control_.Watch(me.address, map_ == nullptr ? 0 : map_->cluster_id(),
                       map_ == nullptr ? 0 : map_->version());
    me.stream = stream;
    me.since = absl::Now();
  }
  while (std::unique_ptr<v1::ClusterState> state = stream->Next()) {
    Accept(std::move(state));
  }
  // Refresh and Stop may still have to cancel it.
  const absl::Status status = stream->Finish();
  MutexLock lock(mu_);
  me.stream.reset();
  if (!stopping_ && !status.ok() && !absl::IsCancelled(status)) {
    last_failure_ = status;
  }
}

void View::Accept(std::unique_ptr<v1::ClusterState> state) {
  auto map = ShardMap::FromState(*state);
  std::string complaint;
  {
    MutexLock lock(mu_);
    last_news_ = absl::Now();
    if (!map.ok()) {
      last_failure_ = map.status();
      complaint = ToString(map.status());
    } else if (map_ != nullptr &&
               ((*map)->cluster_id() != map_->cluster_id() ||
                (*map)->shard_count() != map_->shard_count())) {
      complaint = absl::StrCat("an address now belongs to another cluster (id ",
                               (*map)->cluster_id(), " instead of ",
                               map_->cluster_id(), "): its state is ignored");
    } else if (map_ != nullptr && (*map)->version() <= map_->version()) {
      return;
    } else {
      map_ = *map;
      for (const v1::Table& table : state->tables()) {
        auto found = tables_.find(table.id());
        if (found == tables_.end()) continue;
        found->second->version->store(table.version(),
                                      std::memory_order_relaxed);
      }
      state_ = std::move(state);
      changed_.NotifyAll();
    }
  }
  if (!complaint.empty()) {
    options_.log(complaint);
  } else {
    options_.on_map(*std::move(map));
  }
}

absl::Status View::WaitComplete(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  MutexLock lock(mu_);
  while (map_ == nullptr || !map_->complete()) {
    const absl::Duration left = deadline - absl::Now();
    if (left > absl::ZeroDuration()) {
      changed_.WaitFor(mu_, left);
      continue;
    }
    if (map_ != nullptr) {
      return absl::UnavailableError(
          "the cluster has shards without a server: it is starting, or "
          "servers are down");
    }
    return absl::UnavailableError(
        absl::StrCat("nobody answered at ", control_.addresses()[0],
                     control_.addresses().size() > 1 ? ", ..." : "",
                     last_failure_.ok() ? "" : "; last: ",
                     last_failure_.ok() ? "" : ToString(last_failure_)));
  }
  return absl::OkStatus();
}

std::shared_ptr<const ShardMap> View::map() {
  MutexLock lock(mu_);
  return map_;
}

void View::Refresh() {
  MutexLock lock(mu_);
  if (absl::Now() < last_news_ + kRefreshEvery) return;
  Watcher* oldest = nullptr;
  for (Watcher& watcher : watchers_) {
    if (watcher.stream == nullptr) continue;
    if (oldest == nullptr || watcher.since < oldest->since) oldest = &watcher;
  }
  if (oldest == nullptr) return;
  last_news_ = absl::Now();
  oldest->stream->Cancel();
}

absl::StatusOr<std::shared_ptr<const TableHandle>> View::FindTable(
    const std::string& name) {
  MutexLock lock(mu_);
  if (state_ == nullptr) return absl::NotFoundError("no state yet");
  for (const v1::Table& table : state_->tables()) {
    if (table.spec().name() != name) continue;
    PARAMO_ASSIGN_OR_RETURN(TableInfo info, FromProto(table));
    return AddTableLocked(std::move(info));
  }
  return absl::NotFoundError("not in the newest state");
}

std::shared_ptr<const TableHandle> View::AddTable(TableInfo info) {
  MutexLock lock(mu_);
  return AddTableLocked(std::move(info));
}

std::shared_ptr<const TableHandle> View::AddTableLocked(TableInfo info) {
  std::shared_ptr<const TableHandle>& newest = tables_[info.id];
  if (newest != nullptr && newest->info.version >= info.version) return newest;
  auto handle = std::make_shared<TableHandle>();
  handle->core = core_;
  handle->info = std::move(info);
  if (newest != nullptr) {
    // Altered. Older handles keep what they were opened with; the version, and
    // what can never change, is shared, whatever the coordinator says.
    handle->info.spec.dim = newest->info.spec.dim;
    handle->info.spec.shape = newest->info.spec.shape;
    handle->version = newest->version;
    handle->elements = newest->elements;
    handle->blocks = newest->blocks;
  } else {
    handle->version = std::make_shared<std::atomic<uint32_t>>(0);
    const TableSpec& spec = handle->info.spec;
    if (!spec.shape.empty()) {
      handle->elements = Elements(spec.shape);
      handle->blocks = std::make_shared<Split>(SplitBlocks(
          handle->info.id,
          static_cast<uint32_t>((handle->elements + spec.dim - 1) / spec.dim),
          map_->shard_count()));
    }
  }
  handle->version->store(handle->info.version, std::memory_order_relaxed);
  newest = std::move(handle);
  return newest;
}

}  // namespace paramo::client
