// A real etcd cluster for tests: its data lies in a directory under /tmp.
// Nothing is left behind, also when the test is killed: members die with this
// process, and a janitor removes the directory.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "client/cli/process.h"
#include "tests/etcd/etcd_members.h"

namespace paramo::test {

// Returns from construction when the members have a leader; ends the test with
// logs when they do not. Threads: one.
class EtcdCluster {
 public:
  explicit EtcdCluster(int members = 3, EtcdTls tls = {});
  ~EtcdCluster();
  EtcdCluster(const EtcdCluster&) = delete;

  const std::string& endpoint(int member) const {
    return members_->endpoint(member);
  }
  const std::string& secure_endpoint(int member) const {
    return members_->secure_endpoint(member);
  }
  std::vector<std::string> endpoints() const { return members_->endpoints(); }
  std::string url() const { return members_->url(); }

  // The member that leads, as it sees it; -1 when there is none.
  int leader() const { return members_->leader(); }
  void WaitForLeader() const;

  void Kill(int member);  // SIGKILL, and waits for its end
  // Over the data of before; returns at once.
  void Start(int member);
  void Signal(int member, int signal);
  // All down, all up again: nothing but what is on disk remains.
  void Restart();

  // The alarm that etcd raises when its quota is used up.
  void SetNoSpace(bool on) const;

 private:
  std::string dir_;
  cli::Pipe janitor_input_;
  std::unique_ptr<cli::Process> janitor_;
  std::unique_ptr<EtcdMembers> members_;
};

// The one cluster that the tests of a program share: made when first asked
// for, ended with the last test. Whoever breaks it mends it.
EtcdCluster& SharedEtcd();

// A name that no other test of this program uses.
std::string UniqueName();

}  // namespace paramo::test
