#include "client/cli/witness.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/time/clock.h"
#include "client/cli/table_rows.h"
#include "common/base/status.h"

namespace paramo::cli {
namespace {

// So many that every server has some.
constexpr size_t kRows = 256;
// The job beside it is what the demo shows: this leaves it the machine.
constexpr absl::Duration kBetweenPushes = absl::Milliseconds(10);

TableSpec CountingTable() {
  TableSpec spec;
  spec.name = "demo.witness";
  spec.dim = 1;
  spec.rule = {"sgd", {{"lr", 1.0}}};  // a gradient of -1 adds 1
  return spec;
}

std::vector<uint64_t> Keys() {
  std::vector<uint64_t> keys(kRows);
  std::iota(keys.begin(), keys.end(), 0);
  return keys;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Witness>> Witness::Start(
    const std::string& address) {
  ConnectOptions options;
  options.addresses = address;
  auto cluster = Cluster::Connect(options);
  PARAMO_RETURN_IF_ERROR(FromClient(cluster.status()));
  auto table = (*cluster)->CreateTable(CountingTable());
  PARAMO_RETURN_IF_ERROR(FromClient(table.status()));
  std::unique_ptr<Witness> witness(
      new Witness(*std::move(cluster), *std::move(table)));
  witness->thread_ = std::thread([w = witness.get()] { w->Run(); });
  return witness;
}

Witness::Witness(std::unique_ptr<Cluster> cluster, Table table)
    : cluster_(std::move(cluster)), table_(std::move(table)), keys_(Keys()) {}

Witness::~Witness() { Stop(); }

void Witness::Run() {
  const std::vector<float> ones(keys_.size(), -1);
  while (Pause()) {
    const Result<PushAck> ack = table_.Push(keys_, ones);
    if (ack.ok()) {
      ++seen_.acked;
    } else if (ack.status().applied() != Applied::kNo) {
      ++seen_.unknown;
    }
  }
}

bool Witness::Pause() {
  const absl::Time until = absl::Now() + kBetweenPushes;
  MutexLock lock(mu_);
  while (!stopping_ && absl::Now() < until) {
    changed_.WaitFor(mu_, until - absl::Now());
  }
  return !stopping_;
}

void Witness::Stop() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

absl::StatusOr<Testimony> Witness::Finish() {
  Stop();
  std::vector<float> rows(keys_.size());
  PARAMO_RETURN_IF_ERROR(FromClient(table_.Pull(keys_, rows)));
  const auto [low, high] = std::minmax_element(rows.begin(), rows.end());
  const auto least = static_cast<uint64_t>(*low);
  const auto most = static_cast<uint64_t>(*high);
  Testimony told = seen_;
  told.acked_lost = told.acked - std::min(told.acked, least);
  const uint64_t sent = told.acked + told.unknown;
  told.applied_twice = most - std::min(most, sent);
  return told;
}

}  // namespace paramo::cli
