// A coordinator and servers as real processes, for tests. Ports come from the
// kernel; data lies in a temporary directory that goes with the object.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

namespace paramo {

// One child process. The destructor kills it. Threads: one.
class Process {
 public:
  Process() = default;
  // Starts `arguments[0]`; output goes to `log_file`. The child dies with this
  // process, however that ends.
  Process(const std::vector<std::string>& arguments,
          const std::map<std::string, std::string>& environment,
          const std::string& log_file);
  ~Process();
  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;

  pid_t pid() const { return pid_; }
  void Signal(int signal);
  // SIGSTOP, and waits until it has stopped. SIGCONT lets it go on.
  void Pause();
  // Waits for its end: the exit status, or 128 + the signal.
  int Wait();

 private:
  pid_t pid_ = -1;
};

class LocalCluster {
 public:
  // Returns when every server is ready; aborts the test with the logs
  // otherwise.
  explicit LocalCluster(int servers);
  ~LocalCluster();
  LocalCluster(const LocalCluster&) = delete;
  LocalCluster& operator=(const LocalCluster&) = delete;

  // The coordinator's host:port: PARAMO_ADDRESS.
  const std::string& address() const { return address_; }
  const std::string& dir() const { return dir_; }
  Process& server(int index) { return servers_[index]; }

  // Starts server `index` again on its data directory; the old process must
  // have ended. Does not wait.
  void StartServer(int index);
  void WaitForServer(int index);

 private:
  std::string dir_;
  std::string address_;
  Process coordinator_;
  std::vector<Process> servers_;
};

// The whole file; empty when it cannot be read.
std::string ReadFile(const std::string& path);

}  // namespace paramo
