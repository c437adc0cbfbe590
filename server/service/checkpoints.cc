#include "server/service/checkpoints.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "paramo/v1/shard_state.pb.h"
#include "server/service/run_on.h"
#include "server/shard/shard.h"

namespace paramo {
// ---- Sending ----------------------------------------------------------------

struct CheckpointSender::Progress {
  Shard::Checkpoint checkpoint;
  uint64_t id = MakeRandomId();
  uint32_t index = 0;
  bool last = false;
};

CheckpointSender::CheckpointSender(Shard& shard, const ReplicaId& learner,
                                   PeerLinks& links, Fetch fetch)
    : shard_(shard),
      learner_(learner),
      links_(links),
      fetch_(std::move(fetch)),
      progress_(std::make_unique<Progress>()) {}

CheckpointSender::~CheckpointSender() = default;

void CheckpointSender::Start() {
  shard_.Post([self = shared_from_this()] {
    self->progress_->checkpoint = self->shard_.BeginCheckpoint();
    self->SendNext();
  });
}

void CheckpointSender::SendNext() {
  Progress& progress = *progress_;
  v1::CheckpointPart part;
  part.set_shard(shard_.id());
  part.set_id(progress.id);
  part.set_index(progress.index++);
  if (part.index() == 0) {
    part.set_state(std::move(progress.checkpoint.state));
  } else {
    Shard::CheckpointRows rows;
    const absl::Status next =
        shard_.NextRows(progress.checkpoint, kCheckpointPartBytes, rows);
    if (!next.ok()) return OnSent(next);
    part.set_table(rows.table);
    part.set_rows(std::move(rows.bytes));
    progress.last = progress.checkpoint.tables.empty();
    part.set_last(progress.last);
    if (!rows.cold.empty()) {
      return FetchAndSend(std::move(part), std::move(rows.cold));
    }
  }
  Send(part);
}

// A row that has come back meanwhile may have changed: the log has that.
void CheckpointSender::FetchAndSend(v1::CheckpointPart part,
                                    std::vector<Key> cold) {
  RowKeys keys;
  keys[part.table()] = std::move(cold);
  fetch_(std::move(keys), [self = shared_from_this(), part = std::move(part)](
                              FetchedRows fetched) mutable {
    if (!fetched.failed.empty()) {
      return self->OnSent(fetched.failed.begin()->second);
    }
    part.mutable_rows()->append(fetched.rows.arena);
    self->Send(part);
  });
}

void CheckpointSender::Send(const v1::CheckpointPart& part) {
  links_.SendCheckpoint(learner_, part.SerializeAsString(),
                        [self = shared_from_this()](const absl::Status& sent) {
                          self->OnSent(sent);
                        });
}

void CheckpointSender::OnSent(const absl::Status& status) {
  shard_.Post([self = shared_from_this(), status] {
    if (status.ok() && !self->progress_->last) return self->SendNext();
    if (!status.ok()) {
      LogInfo("the checkpoint of shard %d for server %d was not taken: %s",
              self->shard_.id(), self->learner_.server, ToString(status));
    }
    self->End(status.ok());
  });
}

void CheckpointSender::End(bool sent) {
  const Lsn lsn = progress_->checkpoint.lsn;
  shard_.WithReplica([&](Replica& replica, absl::Duration now) {
    if (sent) {
      replica.OnCheckpointSent(learner_, lsn, now);
    } else {
      replica.OnCheckpointFailed(learner_, now);
    }
  });
}

// ---- Taking -----------------------------------------------------------------

struct CheckpointTaker::Incoming {
  uint64_t id = 0;
  uint32_t next = 1;
  uint32_t shard_count = 0;
  std::string state_bytes;
  v1::ShardState state;
  std::map<TableId, std::unique_ptr<TableShard>> tables;
};

CheckpointTaker::CheckpointTaker(RowStore& rows) : rows_(rows) {}

CheckpointTaker::~CheckpointTaker() = default;

absl::Status CheckpointTaker::Take(Shard& shard,
                                   const v1::CheckpointPart& part) {
  absl::Status taken;
  if (part.index() == 0) {
    taken = Begin(shard, part);
  } else {
    auto found = incoming_.find(shard.id());
    if (found == incoming_.end() || found->second->id != part.id() ||
        found->second->next != part.index()) {
      return absl::AbortedError("not the next part of the checkpoint");
    }
    ++found->second->next;
    taken = AddRows(*found->second, part);
    if (taken.ok() && part.last()) taken = End(shard, *found->second);
    if (taken.ok() && part.last()) incoming_.erase(found);
  }
  if (!taken.ok()) {
    incoming_.erase(shard.id());
    RunOn(shard, [&] { shard.AbortInstall(); });
  }
  return taken;
}

void CheckpointTaker::Forget(ShardId shard) { incoming_.erase(shard); }

absl::Status CheckpointTaker::Begin(Shard& shard,
                                    const v1::CheckpointPart& part) {
  auto incoming = std::make_unique<Incoming>();
  incoming->id = part.id();
  incoming->shard_count = shard.shard_count();
  incoming->state_bytes = part.state();
  if (!incoming->state.ParseFromString(part.state())) {
    return absl::InvalidArgumentError("the checkpoint's state cannot be read");
  }
  for (const v1::Table& table : incoming->state.tables()) {
    PARAMO_ASSIGN_OR_RETURN(auto config, MakeTableConfig(table));
    incoming->tables[table.id()] =
        std::make_unique<TableShard>(*config, shard.id());
  }
  absl::Status ready;
  RunOn(shard, [&] { ready = shard.BeginInstall(incoming->state.history()); });
  PARAMO_RETURN_IF_ERROR(ready);
  incoming_[shard.id()] = std::move(incoming);
  return absl::OkStatus();
}

absl::Status CheckpointTaker::AddRows(Incoming& incoming,
                                      const v1::CheckpointPart& part) {
  if (part.rows().empty()) return absl::OkStatus();
  auto table = incoming.tables.find(part.table());
  if (table == incoming.tables.end()) {
    return absl::InvalidArgumentError("rows of a table that is not there");
  }
  const size_t record_bytes = table->second->layout().record_bytes();
  if (part.rows().size() % record_bytes != 0) {
    return absl::InvalidArgumentError("rows of impossible length");
  }
  ShardFlush flush;
  flush.shard = part.shard();
  for (size_t at = 0; at < part.rows().size(); at += record_bytes) {
    const absl::string_view record(part.rows().data() + at, record_bytes);
    PARAMO_RETURN_IF_ERROR(table->second->Restore(absl::MakeConstSpan(
        reinterpret_cast<const uint8_t*>(record.data()), record.size())));
    flush.AddRow(part.table(), record);
  }
  FlushBatch batch;
  batch.push_back(std::move(flush));
  PARAMO_RETURN_IF_ERROR(rows_.Ingest(batch));
  if (table->second->config().memory_budget > 0) {
    table->second->Evict(
        BudgetOf(table->second->config(), incoming.shard_count),
        table->second->resident_rows());
  }
  return absl::OkStatus();
}

// Rows are in the store: the state follows, and then the shard has both.
absl::Status CheckpointTaker::End(Shard& shard, Incoming& incoming) {
  ShardFlush flush;
  flush.shard = shard.id();
  flush.state = incoming.state_bytes;
  FlushBatch batch;
  batch.push_back(std::move(flush));
  PARAMO_RETURN_IF_ERROR(rows_.Ingest(batch));
  std::vector<std::unique_ptr<TableShard>> tables;
  for (auto& [id, table] : incoming.tables) tables.push_back(std::move(table));
  absl::Status installed;
  RunOn(shard,
        [&] { installed = shard.Install(incoming.state, std::move(tables)); });
  return installed;
}

}  // namespace paramo
