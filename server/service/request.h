// One Request on its way through the server: its sections, their answers, and
// the reply that is sent when the last of them is done.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "common/transport/incoming_call.h"
#include "common/wire/reply.h"
#include "server/shard/section_task.h"

namespace paramo {

class ServedRequest;

struct ServedSection : SectionTask {
  ServedSection();
  ServedRequest* request = nullptr;
};

// The tasks of one section of the request: one, or several when the server
// split it by shard, or none when it was refused before any shard saw it.
struct SectionSlot {
  size_t first = 0;
  size_t count = 0;
  wire::SectionReply refused;  // when count == 0
};

// Life: made by the service, deletes itself after the reply. Threads: the
// service fills it on the reading thread; then tasks end on any thread.
class ServedRequest {
 public:
  // Called when the reply has been handed over: reply bytes.
  using OnDone = std::function<void(const ServedRequest&, size_t reply_bytes)>;

  ServedRequest(std::unique_ptr<IncomingCall> call, uint64_t id,
                uint64_t state_version)
      : call_(std::move(call)), id_(id), state_version_(state_version) {}

  // ---- Filling --------------------------------------------------------------

  std::vector<SectionSlot> push;
  std::vector<SectionSlot> pull;
  std::vector<ServedSection> tasks;  // reserved up front: they do not move
  std::vector<size_t> pull_bytes;    // value bytes of each pull section
  std::unique_ptr<wire::ReplyWriter> writer;
  BudgetCharge reply_charge;  // of the reply's block, until it is handed over
  absl::Duration started;
  OnDone on_done;

  const IncomingCall& call() const { return *call_; }

  // Submits every task to its shard. The request may be gone on return.
  void Run();
  void TaskDone();

 private:
  void Send();
  wire::SectionReply Answer(SectionSlot& slot);
  uint32_t ParkedMicros() const;  // the longest wait of a pull

  std::unique_ptr<IncomingCall> call_;
  const uint64_t id_;
  const uint64_t state_version_;
  // Tasks not done, plus one while Run submits. acq_rel: whoever takes it to
  // zero sees what every task wrote.
  std::atomic<size_t> left_{0};
};

}  // namespace paramo
