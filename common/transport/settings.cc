#include "common/transport/settings.h"

#include <grpc/compression.h>
#include <grpc/grpc.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/support/channel_arguments.h>

#include <memory>
#include <string>
#include <utility>

#include "common/base/limits.h"

namespace paramo {
namespace {

// gRPC's framing and a Request's own headers come on top of the payload that
// kMessageBytesMax speaks of.
constexpr size_t kMessageSlackBytes = 64 << 10;

// Either end asks for a sign of life after this much silence, also when no
// call is open, and gives the connection up when none comes.
constexpr int kKeepaliveTimeMs = 30'000;
constexpr int kKeepaliveTimeoutMs = 20'000;
// The least time between two pings of a client that the server tolerates; well
// below kKeepaliveTimeMs, or it would answer too_many_pings and hang up.
constexpr int kPingIntervalMinMs = 10'000;

// Settings of both ends, as name and value, so that they cannot differ.
// Frames of 16 MB (the most HTTP/2 allows) and reads of 256 KB save CPU time
// per byte; the bandwidth probe opens the window; zero-copy sends cost more
// than they save below 100 Gb/s. Compression is off, and an inbound compressed
// message is refused (UNIMPLEMENTED): 1 MB of gzip inflates to 1 GB before any
// receive limit is looked at.
constexpr std::pair<const char*, int> kBothEnds[] = {
    {GRPC_ARG_HTTP2_MAX_FRAME_SIZE, (16 << 20) - 1},
    {GRPC_ARG_TCP_READ_CHUNK_SIZE, kReadChunkBytes},
    {GRPC_ARG_TCP_MAX_READ_CHUNK_SIZE, kReadChunkBytes},
    {GRPC_ARG_HTTP2_BDP_PROBE, 1},
    {GRPC_ARG_TCP_TX_ZEROCOPY_ENABLED, 0},
    {GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET,
     1 << GRPC_COMPRESS_NONE},
    {GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs},
    {GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs},
    {GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1},
    {GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0},
    {GRPC_ARG_MAX_METADATA_SIZE, kMetadataBytesMax},
};

int MessageLimit(size_t message_bytes_max) {
  return static_cast<int>(message_bytes_max + kMessageSlackBytes);
}

}  // namespace

void KeepGrpcInitialised() {
  [[maybe_unused]] static const bool once = (grpc_init(), true);
}

void ApplyServerSettings(grpc::ServerBuilder& builder, size_t message_bytes_max,
                         absl::Duration handshake_timeout) {
  for (const auto& setting : kBothEnds)
    builder.AddChannelArgument(setting.first, setting.second);
  builder.SetMaxReceiveMessageSize(MessageLimit(message_bytes_max));
  builder.SetMaxSendMessageSize(-1);  // what we send, we have bounded
  builder.AddChannelArgument(
      GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS,
      static_cast<int>(absl::ToInt64Milliseconds(handshake_timeout)));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                             kConcurrentStreamsMax);
  builder.AddChannelArgument(
      GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
      kPingIntervalMinMs);
  // Two servers sharing a port by accident would each get half of the calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
}

void ApplyClientSettings(grpc::ChannelArguments& arguments,
                         size_t message_bytes_max,
                         absl::Duration connect_timeout) {
  for (const auto& setting : kBothEnds)
    arguments.SetInt(setting.first, setting.second);
  arguments.SetMaxReceiveMessageSize(MessageLimit(message_bytes_max));
  arguments.SetMaxSendMessageSize(-1);
  // gRPC's own name for the time that one connection attempt may take.
  arguments.SetInt(
      GRPC_ARG_MIN_RECONNECT_BACKOFF_MS,
      static_cast<int>(absl::ToInt64Milliseconds(connect_timeout)));
  // A TCP connection of its own for every channel, never one shared with
  // another channel to the same address.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // Retries are ours: only we know which requests may be sent twice.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
}

std::shared_ptr<grpc::Channel> MakeControlChannel(const std::string& address) {
  KeepGrpcInitialised();
  grpc::ChannelArguments arguments;
  ApplyClientSettings(arguments, kControlMessageBytesMax,
                      absl::Milliseconds(kHandshakeTimeoutMs));
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectMinMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kReconnectMaxMs);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(),
                                   arguments);
}

}  // namespace paramo
