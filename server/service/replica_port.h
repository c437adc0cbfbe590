// What a shard's replica asks of the world, answered by this server: its log,
// its links to peers, its line to the coordinator.
#pragma once

#include <utility>
#include <vector>

#include "server/log/log.h"
#include "server/service/peer_links.h"
#include "server/service/replica_io.h"
#include "server/service/report_board.h"
#include "server/shard/shard_port.h"

namespace paramo {

// What all ports of a server share; all of it outlives them.
struct ReplicaWorld {
  Log* log = nullptr;
  PeerLinks* links = nullptr;
  ReplicaIo* io = nullptr;
  ReportBoard* reports = nullptr;
};

// Owned by the server, one for each shard. Used on the shard's strand.
class ReplicaPort final : public ShardPort {
 public:
  ReplicaPort(const ReplicaWorld& world, ShardId shard)
      : world_(world), shard_(shard) {}

  bool HasRoom(size_t bytes) const override {
    return world_.log->HasRoom(bytes);
  }
  void Release(Lsn lsn) override { world_.log->Release(shard_, lsn); }

  void NoteStopped() override { world_.io->NoteStopped(shard_); }
  void Wipe(std::vector<TableId> tables) override {
    world_.io->Wipe(shard_, std::move(tables));
  }

  void FetchRows(RowKeys keys, std::function<void(FetchedRows)> done) override {
    world_.io->FetchRows(shard_, std::move(keys), std::move(done));
  }

  void WriteLog(const Record& record, Durability level) override;
  void SavePromise(const Promise& promise) override {
    world_.io->SavePromise(shard_, promise);
  }
  void Send(const ReplicaId& to, PeerMessage message) override {
    world_.links->Send(to, std::move(message));
  }
  void Report(const ReplicaReport& report) override {
    world_.reports->Add(report);
  }
  void ReadLog(const ReplicaId& peer, Lsn from, size_t bytes_max) override {
    world_.io->ReadLog(shard_, peer, from, bytes_max);
  }
  void SendCheckpoint(const ReplicaId& learner) override {
    world_.io->SendCheckpoint(shard_, learner);
  }

 private:
  const ReplicaWorld world_;
  const ShardId shard_;
};

}  // namespace paramo
