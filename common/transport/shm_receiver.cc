#include "common/transport/shm_receiver.h"

#include <cstring>
#include <string>
#include <utility>

#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/mem/buffer.h"
#include "common/transport/shm_lanes.h"
#include "common/wire/envelope.h"
#include "common/wire/reply.h"
#include "common/wire/seal.h"

namespace paramo {
namespace {

bool IsWithin(uint64_t offset, uint64_t bytes, const ShmLane& lane) {
  return offset + bytes <= lane.memory->size();
}

// Answers one request in shared memory, where it fits.
class ShmReplySink final : public ReplySink {
 public:
  ShmReplySink(std::shared_ptr<ReplySink> stream, std::weak_ptr<ShmLane> lane,
               const wire::ShmRequest& request)
      : stream_(std::move(stream)), lane_(std::move(lane)), request_(request) {}

  void Reply(Message reply) override {
    const std::shared_ptr<ShmLane> lane = lane_.lock();
    if (lane == nullptr) return stream_->Reply(std::move(reply));  // is over
    const size_t bytes = MessageBytes(reply) + wire::kSealBytes;
    if (bytes > request_.reply_bytes) {
      if (request_.reply_bytes > 0) lane->counters.large_replies.Add();
      return stream_->Reply(std::move(reply));
    }
    wire::Seal(reply);
    uint8_t* out = lane->memory->data() + request_.reply_offset;
    for (const Buffer& block : reply) {
      std::memcpy(out, block.data(), block.size());
      out += block.size();
    }
    lane->counters.bytes_out.Add(bytes);
    stream_->Reply(
        wire::WriteShmReply({request_.id, static_cast<uint32_t>(bytes)}));
  }
  void Fail(const absl::Status& status) override { stream_->Fail(status); }
  bool cancelled() const override { return stream_->cancelled(); }
  std::string peer() const override { return stream_->peer(); }

 private:
  const std::shared_ptr<ReplySink> stream_;  // shared with its operations
  const std::weak_ptr<ShmLane> lane_;        // gone with the stream
  const wire::ShmRequest request_;
};

// From here on nobody else can write to what is looked at.
Rope CopyOf(const ShmLane& lane, const wire::ShmRequest& request) {
  auto copy = std::make_shared<Buffer>(request.bytes);
  std::memcpy(copy->data(), lane.memory->data() + request.offset,
              request.bytes);
  Rope::Pieces pieces;
  pieces.push_back({copy->data(), copy->size()});
  return Rope(std::move(pieces), std::move(copy), request.bytes);
}

}  // namespace

absl::Status ShmReceiver::Fetch(Rope& message,
                                std::shared_ptr<ReplySink>& sink) {
  const std::optional<wire::ShmRequest> request = wire::ReadShmRequest(message);
  if (!request.has_value()) return absl::OkStatus();
  if (lane_ == nullptr && lanes_ != nullptr) {
    lane_ = lanes_->Claim(request->lane);
    name_ = request->lane;
  }
  if (lane_ == nullptr || name_ != request->lane)
    return absl::InvalidArgumentError(
        "the request names a lane of shared memory that this stream has not");
  if (request->bytes > kMessageBytesMax ||
      !IsWithin(request->offset, request->bytes, *lane_) ||
      !IsWithin(request->reply_offset, request->reply_bytes, *lane_))
    return absl::InvalidArgumentError(
        "the request names bytes outside its lane of shared memory");
  message = CopyOf(*lane_, *request);
  lane_->counters.bytes_in.Add(request->bytes);
  if (wire::TakeSeal(message) != wire::SealState::kIntact ||
      wire::PeekId(message) != request->id)
    return absl::DataLossError("a request in shared memory was damaged");
  sink = std::make_shared<ShmReplySink>(std::move(sink), lane_, *request);
  return absl::OkStatus();
}

}  // namespace paramo
