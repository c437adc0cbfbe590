#include "common/transport/data_client.h"

#include <atomic>
#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "common/base/check.h"
#include "common/transport/channel_core.h"

namespace paramo {
namespace {

constexpr char kNeverSentUrl[] = "paramo/never-sent";

}  // namespace

bool NeverSent(const absl::Status& status) {
  return status.GetPayload(kNeverSentUrl).has_value();
}

absl::Status MarkNeverSent(absl::Status status) {
  status.SetPayload(kNeverSentUrl, absl::Cord());
  return status;
}

struct ClientExecutor::Impl {
  std::vector<std::unique_ptr<ClientLoop>> loops;
  std::atomic<size_t> next{0};  // channels are dealt out in turn
};

ClientExecutor::ClientExecutor(int threads) : impl_(new Impl) {
  PARAMO_CHECK(threads > 0);
  for (int i = 0; i < threads; ++i)
    impl_->loops.push_back(std::make_unique<ClientLoop>(i));
}

ClientExecutor::~ClientExecutor() = default;

DataChannel::DataChannel(ClientExecutor& executor, Options options) {
  auto& impl = *executor.impl_;
  const size_t index =
      impl.next.fetch_add(1, std::memory_order_relaxed) % impl.loops.size();
  core_ = std::make_shared<ChannelCore>(*impl.loops[index], std::move(options));
}

DataChannel::~DataChannel() { Close(); }

Buffer DataChannel::MakeBlock(size_t bytes, size_t reply_bytes) {
  return core_->MakeBlock(bytes, reply_bytes);
}

DataChannel::ShmStats DataChannel::shm_stats() const {
  return core_->shm_stats();
}

uint64_t DataChannel::NextId() { return core_->NextId(); }

void DataChannel::Send(uint64_t id, Message request, absl::Duration timeout,
                       Done done) {
  core_->Send(id, std::move(request), timeout, std::move(done));
}

void DataChannel::Cancel(uint64_t id) { core_->Cancel(id); }

void DataChannel::Close() { core_->Close(); }

const std::string& DataChannel::address() const {
  return core_->options().address;
}

size_t DataChannel::outstanding() const { return core_->outstanding(); }

}  // namespace paramo
