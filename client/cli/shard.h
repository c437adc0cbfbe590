// What the commands about one shard share.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "client/cli/commands.h"

namespace paramo::v1 {
class ClusterState;
}  // namespace paramo::v1

namespace paramo::client {
class Control;
}  // namespace paramo::client

namespace paramo::cli {

// The positional argument that says which shard.
struct ShardArgument {
  std::string text;
  uint32_t shard = 0;

  void AddTo(Config& config);
};

absl::Status NoSuchShard(const v1::ClusterState& state, uint32_t shard);

// As `paramo shard describe` does.
int ShowShard(const ClusterFlags& flags, client::Control& control,
              uint32_t shard);

}  // namespace paramo::cli
