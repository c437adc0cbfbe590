#include "common/transport/shm_client.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/status.h"
#include "common/wire/reply.h"
#include "common/wire/seal.h"

namespace paramo {
namespace {

// The server that grants a lane has just answered a Hello, and has a thread for
// nothing else: only a machine that is very busy makes it wait.
constexpr timespec kGrantTimeout = {.tv_sec = 1, .tv_nsec = 0};

// Blocks begin where cache lines do, so that no two share one.
constexpr size_t kAlignment = 64;
constexpr size_t Aligned(size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}
constexpr size_t BlockBytes(size_t bytes, size_t reply_bytes) {
  return Aligned(bytes + wire::kSealBytes + reply_bytes);
}

absl::StatusOr<Descriptor> ConnectTo(const std::string& path) {
  PARAMO_ASSIGN_OR_RETURN(const Descriptor directory,
                          OpenPrivateDirectory(path));
  Descriptor to(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const sockaddr_un address = LaneSocket(directory);
  if (!to.valid() ||
      connect(to.get(), reinterpret_cast<const sockaddr*>(&address),
              sizeof address) != 0)
    return ErrnoStatus(errno, "connecting for shared memory");
  ucred server = {};
  socklen_t bytes = sizeof server;
  if (getsockopt(to.get(), SOL_SOCKET, SO_PEERCRED, &server, &bytes) != 0 ||
      server.uid != geteuid())
    return absl::FailedPreconditionError("a server of another user");
  return to;
}

// What the server says, and the descriptor that comes with it.
absl::StatusOr<Descriptor> ReceiveGrant(const Descriptor& from,
                                        LaneGrant& grant) {
  pollfd ready = {from.get(), POLLIN, 0};
  // A signal that interrupted this would cost the stream its lane, for good.
  sigset_t none_now;
  sigfillset(&none_now);
  if (ppoll(&ready, 1, &kGrantTimeout, &none_now) != 1)
    return absl::UnavailableError("no answer about shared memory");
  iovec data = {&grant, sizeof grant};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  // Not the whole array: its padding has room for a second descriptor, which
  // the kernel would open if it came and nobody would close.
  message.msg_controllen = CMSG_LEN(sizeof(int));
  const ssize_t got = recvmsg(from.get(), &message, MSG_CMSG_CLOEXEC);
  const cmsghdr* rights = CMSG_FIRSTHDR(&message);
  int received = -1;
  if (rights != nullptr && rights->cmsg_type == SCM_RIGHTS &&
      rights->cmsg_len == CMSG_LEN(sizeof(int)))
    std::memcpy(&received, CMSG_DATA(rights), sizeof received);
  Descriptor memory(received);
  if (got != static_cast<ssize_t>(sizeof grant) || !memory.valid())
    return absl::UnavailableError("the server has no shared memory left");
  return memory;
}

}  // namespace

absl::StatusOr<std::shared_ptr<ShmClient>> ShmClient::Connect(
    const std::string& directory, uint64_t token) {
  PARAMO_ASSIGN_OR_RETURN(Descriptor socket, ConnectTo(directory));
  LaneGrant grant = {};
  PARAMO_ASSIGN_OR_RETURN(Descriptor received, ReceiveGrant(socket, grant));
  if (grant.token != token || grant.bytes > UINT32_MAX)
    return absl::FailedPreconditionError("another server's shared memory");
  PARAMO_ASSIGN_OR_RETURN(
      std::unique_ptr<SharedMemory> memory,
      SharedMemory::Adopt(std::move(received), grant.bytes));
  return std::shared_ptr<ShmClient>(
      new ShmClient(std::move(socket), std::move(memory), grant.lane));
}

ShmClient::ShmClient(Descriptor socket, std::unique_ptr<SharedMemory> memory,
                     uint64_t lane)
    : socket_(std::move(socket)), memory_(std::move(memory)), lane_(lane) {
  free_.emplace(0, memory_->size());
}

std::optional<Buffer> ShmClient::Make(size_t bytes, size_t reply_bytes) {
  const size_t block_bytes = BlockBytes(bytes, reply_bytes);
  const std::optional<size_t> offset = Take(block_bytes);
  if (!offset.has_value()) return std::nullopt;
  if (!Reserve(*offset + block_bytes)) {
    GiveBack(*offset, block_bytes);
    return std::nullopt;
  }
  auto block = std::make_shared<const ShmBlock>(shared_from_this(), *offset,
                                                bytes, reply_bytes);
  const Piece piece = {block->data(), bytes};
  return Buffer(piece, std::move(block));
}

std::shared_ptr<const ShmBlock> ShmClient::Find(const Message& message) const {
  if (message.size() != 1) return nullptr;
  const auto begin = reinterpret_cast<uintptr_t>(memory_->data());
  const auto at = reinterpret_cast<uintptr_t>(message[0].data());
  if (at < begin || at - begin >= memory_->size()) return nullptr;
  return std::static_pointer_cast<const ShmBlock>(message[0].owner());
}

std::optional<size_t> ShmClient::Take(size_t bytes) {
  MutexLock lock(mu_);
  if (closed_) return std::nullopt;
  for (auto run = free_.begin(); run != free_.end(); ++run) {
    const auto [offset, size] = *run;
    if (size < bytes) continue;
    free_.erase(run);
    if (size > bytes) free_.emplace(offset + bytes, size - bytes);
    return offset;
  }
  return std::nullopt;
}

void ShmClient::GiveBack(size_t offset, size_t bytes) {
  MutexLock lock(mu_);
  auto next = free_.lower_bound(offset);
  if (next != free_.end() && next->first == offset + bytes) {
    bytes += next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == offset) {
      before->second += bytes;
      return;
    }
  }
  free_.emplace_hint(next, offset, bytes);
}

// Without the lock, which others need meanwhile: two threads may ask for the
// same pages, and both get them.
bool ShmClient::Reserve(size_t end) {
  size_t begin;
  {
    MutexLock lock(mu_);
    begin = reserved_;
  }
  if (end <= begin) return true;
  if (!memory_->Reserve(begin, end - begin).ok()) return false;
  MutexLock lock(mu_);
  reserved_ = std::max(reserved_, end);
  return true;
}

void ShmClient::Close() {
  {
    MutexLock lock(mu_);
    closed_ = true;
  }
  shutdown(socket_.get(), SHUT_RDWR);
}

uint8_t* ShmBlock::data() const { return client_->memory_->data() + offset_; }

ShmBlock::~ShmBlock() {
  client_->GiveBack(offset_, BlockBytes(bytes_, reply_bytes_));
}

Message ShmBlock::Seal(uint64_t id) const {
  wire::Seal(data(), bytes_);
  wire::ShmRequest request;
  request.id = id;
  request.lane = client_->lane_;
  request.offset = static_cast<uint32_t>(offset_);
  request.bytes = static_cast<uint32_t>(bytes_ + wire::kSealBytes);
  request.reply_offset = request.offset + request.bytes;
  request.reply_bytes = static_cast<uint32_t>(reply_bytes_);
  return wire::WriteShmRequest(request);
}

std::optional<Rope> ShmBlock::ReadReply(std::shared_ptr<const ShmBlock> block,
                                        const wire::ShmReply& envelope) {
  if (envelope.bytes > block->reply_bytes_) return std::nullopt;
  Rope reply = Reply(std::move(block), envelope.bytes);
  if (wire::TakeSeal(reply) != wire::SealState::kIntact ||
      wire::PeekId(reply) != envelope.id)
    return std::nullopt;
  return reply;
}

Rope ShmBlock::Reply(std::shared_ptr<const ShmBlock> block, size_t bytes) {
  Rope::Pieces pieces;
  pieces.push_back({block->data() + block->bytes_ + wire::kSealBytes, bytes});
  return Rope(std::move(pieces), std::move(block), bytes);
}

}  // namespace paramo
