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

// Files in PEM; none: no TLS. With them a member also serves at a second
// address, where it wants clients to have a certificate of the authority.
struct EtcdTls {
  std::string ca_file;
  std::string cert_file;
  std::string key_file;
};

// The kernel kills the members when the thread that started them ends, however
// that comes. Threads: one.
class EtcdMembers {
 public:
  // Returns when the members have a leader.
  // Errors: UNAVAILABLE  they do not start, with the end of a log
  static absl::StatusOr<std::unique_ptr<EtcdMembers>> Start(
      int members, std::string directory, EtcdTls tls = {});

  int size() const { return static_cast<int>(members_.size()); }
  const std::string& endpoint(int member) const {
    return members_[member].client;
  }
  const std::string& secure_endpoint(int member) const {
    return members_[member].secure;
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
    std::string secure;
    std::string peer;
    std::unique_ptr<cli::Process> process;
  };
  EtcdMembers(int members, std::string directory, EtcdTls tls);
  absl::Status TakePorts();
  absl::Status TryStart();
  absl::Status AwaitLeader();

  const std::string directory_;
  const EtcdTls tls_;
  std::vector<Member> members_;
};

}  // namespace paramo::test
