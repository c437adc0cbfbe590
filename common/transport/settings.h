// gRPC settings that both ends must agree on, in one place; and channels for
// the control plane with them.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "absl/time/time.h"

namespace grpc {
class Channel;
class ChannelArguments;
class ServerBuilder;
}  // namespace grpc

namespace paramo {

// Keeps gRPC initialised from the first call to the end of the process. Else
// its shutdown, whenever the last server or channel goes, may wait 10 s for the
// poller of a connection that still had bytes to send.
void KeepGrpcInitialised();

void ApplyServerSettings(grpc::ServerBuilder& builder, size_t message_bytes_max,
                         absl::Duration handshake_timeout);
void ApplyClientSettings(grpc::ChannelArguments& arguments,
                         size_t message_bytes_max,
                         absl::Duration connect_timeout);

// A channel for control-plane stubs (Coordinator, Admin): connects by itself,
// and again when the connection breaks.
std::shared_ptr<grpc::Channel> MakeControlChannel(const std::string& address);

}  // namespace paramo
