#include "common/wire/envelope.h"

#include <utility>

#include "common/wire/layout.h"

namespace paramo::wire {
namespace {

constexpr size_t kRequestBytes = 2 * 9 + 4 * 5;
constexpr auto kRequestFields = [](auto& request, auto visit) {
  visit(1, request.id);
  visit(8, request.lane);
  visit(9, request.offset);
  visit(10, request.bytes);
  visit(11, request.reply_offset);
  visit(12, request.reply_bytes);
};

constexpr size_t kReplyBytes = 9 + 5;
constexpr auto kReplyFields = [](auto& reply, auto visit) {
  visit(1, reply.id);
  visit(11, reply.bytes);
};

template <size_t kBytes, typename Envelope, typename Fields>
Message Write(const Envelope& envelope, Fields fields) {
  Buffer block(kBytes);
  uint8_t* out = block.data();
  fields(envelope, [&out](int number, auto field) {
    out = PutFixed(out, number, field);
  });
  Message message;
  message.push_back(std::move(block));
  return message;
}

template <size_t kBytes, typename Envelope, typename Fields>
std::optional<Envelope> Read(const Rope& message, Fields fields) {
  if (message.size() != kBytes) return std::nullopt;
  uint8_t bytes[kBytes];
  message.Copy(0, kBytes, bytes);
  const uint8_t* in = bytes;
  Envelope envelope;
  bool exact = true;
  fields(envelope, [&](int number, auto& field) {
    exact &= TakeFixed(in, number, field);
  });
  return exact ? std::optional<Envelope>(envelope) : std::nullopt;
}

}  // namespace

Message WriteShmRequest(const ShmRequest& request) {
  return Write<kRequestBytes>(request, kRequestFields);
}

Message WriteShmReply(const ShmReply& reply) {
  return Write<kReplyBytes>(reply, kReplyFields);
}

std::optional<ShmRequest> ReadShmRequest(const Rope& message) {
  return Read<kRequestBytes, ShmRequest>(message, kRequestFields);
}

std::optional<ShmReply> ReadShmReply(const Rope& message) {
  return Read<kReplyBytes, ShmReply>(message, kReplyFields);
}

}  // namespace paramo::wire
