// What a cluster of a chaos run says about itself.
#include <algorithm>
#include <fstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/local_cluster.h"
#include "common/base/status.h"
#include "paramo/v1/cluster.pb.h"
#include "tests/chaos/cluster.h"

namespace paramo::chaos {
namespace {

constexpr absl::Duration kAskWithin = absl::Milliseconds(500);
constexpr absl::Duration kLeaderWithin = absl::Seconds(60);
constexpr absl::Duration kPollEvery = absl::Milliseconds(10);
// Who breaks a run off still wants to know what it did, if that is quick.
constexpr absl::Duration kWholeAfterInterrupt = absl::Seconds(10);

}  // namespace

std::unique_ptr<v1::ClusterState> ChaosCluster::AskLeader() {
  for (size_t i = 0; i < coordinators_.size(); ++i) {
    auto state = coordinators_[leader_].ask->State(kAskWithin);
    if (state.ok()) return *std::move(state);
    leader_ = (leader_ + 1) % coordinators_.size();
  }
  return nullptr;
}

absl::StatusOr<int> ChaosCluster::LeadingCoordinator() {
  const absl::Time deadline = absl::Now() + kLeaderWithin;
  while (AskLeader() == nullptr) {
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError("no coordinator leads");
    }
    absl::SleepFor(kPollEvery);
  }
  return -1 - static_cast<int>(leader_);
}

ClusterShape ChaosCluster::Shape() {
  ClusterShape shape;
  const auto state = AskLeader();
  if (state == nullptr) return shape;
  int up = 0;
  std::vector<std::pair<uint32_t, int>> index_of_id;
  for (const v1::Server& server : state->servers()) {
    up += server.status() == v1::SERVER_STATUS_UP ? 1 : 0;
    for (int i = 0; i < servers(); ++i) {
      if (server.address() != servers_[i].front->address()) continue;
      index_of_id.emplace_back(server.id(), i);
    }
  }
  bool served = state->shards_size() > 0;
  for (const v1::Shard& shard : state->shards()) {
    int primary = -1;
    for (const auto& [id, i] : index_of_id) {
      if (id == shard.primary()) primary = i;
    }
    served &= primary >= 0;
    served &=
        options_.replicas == 1 || shard.in_sync_size() >= options_.replicas;
    shape.server_of_shard.push_back(primary);
  }
  shape.whole =
      served && up >= servers() && (etcd_ == nullptr || etcd_->IsWhole());
  return shape;
}

absl::Status ChaosCluster::WaitUntilWhole(absl::Duration timeout) {
  absl::Time deadline = absl::Now() + timeout;
  bool interrupted = false;
  while (!Shape().whole) {
    PARAMO_RETURN_IF_ERROR(CheckAlive());
    if (absl::Now() > deadline) return NotWhole(timeout, interrupted);
    if (interrupted) {
      absl::SleepFor(kPollEvery);
    } else if (interrupt_.Wait(kPollEvery)) {
      interrupted = true;
      deadline = std::min(deadline, absl::Now() + kWholeAfterInterrupt);
    }
  }
  return absl::OkStatus();
}

absl::Status ChaosCluster::NotWhole(absl::Duration timeout,
                                    bool interrupted) const {
  if (interrupted) {
    return absl::CancelledError("interrupted, and the cluster is not whole");
  }
  std::string why = absl::StrCat("the cluster is not whole after ",
                                 absl::FormatDuration(timeout));
  for (const auto* nodes : {&coordinators_, &servers_}) {
    for (const Node& node : *nodes) {
      absl::StrAppend(&why, "; the end of ", node.name, "'s log:\n",
                      cli::LogTail(node.process->log_file()));
    }
  }
  return absl::DeadlineExceededError(why);
}

absl::Status ChaosCluster::CheckAlive() {
  const int coordinators = static_cast<int>(coordinators_.size());
  for (int node = -coordinators; node < servers(); ++node) {
    if (process(node).Running()) continue;
    if (may_end_ != node) return cli::EndedError(process(node));
    may_end_.reset();
    PARAMO_RETURN_IF_ERROR(Restart(node));
  }
  for (int i = 0; i < etcd_members(); ++i) {
    cli::Process& member = etcd_->process(i);
    if (!member.Running()) return cli::EndedError(member);
  }
  return absl::OkStatus();
}

uint64_t ChaosCluster::CountDivergent() {
  uint64_t divergent = 0;
  for (const Node& node : servers_) {
    std::ifstream log(node.process->log_file());
    for (std::string line; std::getline(log, line);) {
      divergent += absl::StrContains(line, "differs from its primary") ? 1 : 0;
    }
  }
  return divergent;
}

}  // namespace paramo::chaos
