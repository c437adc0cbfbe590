#include "client/core/view.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/core/convert.h"
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
  thread_ = std::thread([this] { Run(); });
}

void View::Stop() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    if (stream_ != nullptr) stream_->Cancel();
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void View::Run() {
  absl::Duration pause = kPauseFirst;
  for (size_t attempt = 0;; ++attempt) {
    const uint64_t before = [this] {
      MutexLock lock(mu_);
      return map_ == nullptr ? 0 : map_->version();
    }();
    WatchOne(NextAddress(attempt));
    MutexLock lock(mu_);
    if (stopping_) return;
    const bool news = map_ != nullptr && map_->version() > before;
    pause = news ? kPauseFirst : std::min(pause * 2, kPauseMax);
    const absl::Time until = absl::Now() + pause;
    while (!stopping_ && absl::Now() < until) {
      changed_.WaitFor(mu_, until - absl::Now());
    }
    if (stopping_) return;
  }
}

// The seeds in turn, and between two rounds of them the servers known.
std::string View::NextAddress(size_t attempt) {
  MutexLock lock(mu_);
  const auto& seeds = control_.addresses();
  const size_t servers = map_ == nullptr ? 0 : map_->servers().size();
  const size_t turn = attempt % (seeds.size() + servers);
  return turn < seeds.size() ? seeds[turn]
                             : map_->servers()[turn - seeds.size()].address;
}

void View::WatchOne(const std::string& address) {
  std::shared_ptr<StateStream> stream;
  {
    MutexLock lock(mu_);
    if (stopping_) return;
    stream = control_.Watch(address, map_ == nullptr ? 0 : map_->cluster_id(),
                            map_ == nullptr ? 0 : map_->version());
    stream_ = stream;
  }
  while (std::unique_ptr<v1::ClusterState> state = stream->Next()) {
    Accept(std::move(state));
  }
  // Refresh and Stop may still have to cancel it.
  const absl::Status status = stream->Finish();
  MutexLock lock(mu_);
  stream_.reset();
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
  if (stream_ == nullptr || absl::Now() < last_news_ + kRefreshEvery) return;
  last_news_ = absl::Now();
  stream_->Cancel();
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
