// The members of a real etcd: children of this process on loopback ports that
// the kernel chose, with data and logs in a directory of the caller's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/process.h"

namespace paramo::test {

// The kernel kills the members when the thread that started them ends, however
// that comes. Threads: one.
class EtcdMembers {
 public:
  // Returns when the members have a leader.
  // Errors: UNAVAILABLE  they do not start, with the end of a log
  static absl::StatusOr<std::unique_ptr<EtcdMembers>> Start(
      int members, std::string directory);

  int size() const { return static_cast<int>(members_.size()); }
  const std::string& endpoint(int member) const {
    return members_[member].client;
  }
  std::vector<std::string> endpoints() const;
  std::string url() const;  // etcd://HOST:PORT,...
  cli::Process& process(int member) { return *members_[member].process; }

  // Starts an ended one over the data it had; returns at once.
  absl::Status Restart(int member);

  // The member that leads, as it sees it; -1 when there is none.
  int leader() const;
  // Every member answers, and knows of a leader.
  bool IsWhole() const;

 private:
  struct Member {
    std::string name;
    std::string client;  // host:port
    std::string peer;
    std::unique_ptr<cli::Process> process;
  };
  EtcdMembers(int members, std::string directory);
  absl::Status TakePorts();
  absl::Status TryStart();
  absl::Status AwaitLeader();

  const std::string directory_;
  std::vector<Member> members_;
};

}  // namespace paramo::test
