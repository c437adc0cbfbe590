// Promises and configurations, and how a replica becomes primary.
#include <algorithm>

#include "common/base/check.h"
#include "server/replication/replica.h"

namespace paramo {
namespace {

bool Names(const std::vector<ReplicaId>& replicas, const ReplicaId& id) {
  return std::find(replicas.begin(), replicas.end(), id) != replicas.end();
}

}  // namespace

void Replica::Configure(const ShardConfig& config, absl::Duration now) {
  if (role_ == Role::kStopped || config.epoch < promised_.epoch) return;
  if (history_ == 0) history_ = config.history;
  if (MustBeginAnew(config)) {
    if (!options_.bugs.keep_history) return EndHistory();
    history_ = config.history;
  }
  const Promise promise = {config.epoch, config.term,
                           config.fencing ? 0 : config.primary};
  if (config.epoch == promised_.epoch) {
    // Rule 3.5: one epoch, one primary.
    if (promise != promised_ || pending_) return;
    if (config_.epoch == config.epoch) return;
    Adopt(config, now);  // promised before a restart
    return;
  }
  promised_ = promise;
  pending_ = config;
  // The term is over at once; what replaces it starts when the promise is
  // durable. (A configuration of the same term disturbs nothing.)
  if (leads() && (config.fencing || config.term != config_.term)) {
    role_ = Role::kFenced;
    SetServing(Serving::kNothing);
    peers_.clear();
  }
  effects_.SavePromise(promise);
  if (options_.bugs.promise_in_memory) OnPromiseSaved(promise, now);
}

// Rule 3.10. Who is not named keeps what it has: somebody may want it yet.
bool Replica::MustBeginAnew(const ShardConfig& config) const {
  return config.history != history_ && config.base != options_.self &&
         (Names(config.in_sync, options_.self) ||
          Names(config.learners, options_.self));
}

void Replica::EndHistory() {
  role_ = Role::kNone;
  SetServing(Serving::kNothing);
  peers_.clear();
  pending_.reset();
  installing_.reset();
  listener_.OnOtherHistory();
}

void Replica::OnPromiseSaved(const Promise& promise, absl::Duration now) {
  if (!pending_ || promise.epoch < pending_->epoch) return;
  const ShardConfig config = *pending_;
  pending_.reset();
  Adopt(config, now);
}

void Replica::Adopt(const ShardConfig& config, absl::Duration now) {
  const bool same_term = config.term == config_.term && !config_.fencing;
  config_ = config;
  if (!same_term) {
    // Also when this replica is not named: what matched the primary of one
    // term need not match that of the next.
    matched_ = committed_;
    sum_lsn_ = 0;
  }
  const bool in_sync = Names(config.in_sync, options_.self);
  const bool primary = in_sync && config.primary == options_.self.server;
  if (!config.fencing && primary && leads() && same_term) {
    UpdatePeers(now);
    UpdateServing();
    AdvanceCommit();
    return;
  }
  peers_.clear();
  SetServing(Serving::kNothing);
  if (config.fencing) {
    role_ = in_sync ? Role::kFenced : Role::kNone;
    if (in_sync) Report(ReplicaReport::Kind::kFenced);
  } else if (primary && config.term > led_term_) {
    TakeOver(now);
  } else if (primary) {
    // It led this term before a restart and may have lost what it appended
    // then: two records of one epoch in one place. Another term is needed.
    role_ = Role::kFenced;
    Report(ReplicaReport::Kind::kTakeAgain);
  } else if (in_sync) {
    Follow(Role::kBackup, same_term);
  } else if (Names(config.learners, options_.self)) {
    Follow(Role::kLearner, same_term);
  } else {
    role_ = Role::kNone;
  }
}

void Replica::Follow(Role role, bool same_term) {
  RestartLog();
  role_ = role;
  const std::optional<ReplicaId> primary = PrimaryId();
  leader_ = {primary.value_or(ReplicaId{}), config_.epoch, config_.term};
  // Says where this replica stands: what its primary has sent by now was not
  // heard.
  if (primary) SendAck(same_term ? 0 : PeerMessage::kRewind);
}

void Replica::TakeOver(absl::Duration now) {
  RestartLog();
  role_ = Role::kTakingOver;
  led_term_ = config_.term;
  sum_at_ = now;
  // Rule 3.10: the records of another history are this one's past from here on,
  // and no later record is taken for one whose changes the state has already.
  history_ = config_.history;
  takeover_lsn_ = std::max(last() + 1, listener_.NewestChange());
  UpdatePeers(now);
  // Synced, the strongest: whatever a member's proof of its past rests on, it
  // must not lose a record that it acknowledged (rule 3.4).
  while (last() < takeover_lsn_) {
    AppendRecord(RecordKind::kNoOp, Rope(), Durability::kSynced, now);
  }
}

// Rule 3.2: the tail is committed and applied, the no-op behind it too.
void Replica::CompleteTakeover() {
  role_ = Role::kPrimary;
  UpdateServing();
}

void Replica::UpdateServing() {
  if (role_ != Role::kPrimary) return;
  SetServing(config_.in_sync.size() >= config_.min_insync ? Serving::kAll
                                                          : Serving::kPulls);
}

}  // namespace paramo
