// A network and a set of mounts that only this process and its children see:
// rules and file systems made in them end with the last of these processes,
// however it ends, and touch nothing of the machine.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace paramo::chaos {

// Threads: one; Enter before there are others.
class Isolation {
 public:
  // Takes what the machine grants; root is needed. What is not granted is told
  // by network() and mounts(), and has to be done otherwise or not at all.
  static Isolation Enter();

  // Why there is none; OK when there is.
  const absl::Status& network() const { return network_; }
  const absl::Status& mounts() const { return mounts_; }

  // From Cut to Mend every packet from or to these loopback addresses vanishes.
  absl::Status Cut(const std::vector<std::string>& ips);
  absl::Status Mend(const std::vector<std::string>& ips);

  // Makes `directory` a file system in memory of so many bytes.
  absl::Status Mount(const std::string& directory, uint64_t bytes);

 private:
  Isolation() = default;
  absl::Status EnterNetwork();
  absl::Status Elements(const char* verb, const std::vector<std::string>& ips);

  absl::Status network_;
  absl::Status mounts_;
};

}  // namespace paramo::chaos
