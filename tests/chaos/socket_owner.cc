#include "tests/chaos/socket_owner.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"

namespace paramo::chaos {
namespace {

// The inode of the socket whose local port is `from`; 0 if there is none.
uint64_t FindInode(uint16_t from, uint16_t to) {
  std::ifstream table("/proc/net/tcp");
  std::string line;
  while (std::getline(table, line)) {
    unsigned local = 0;
    unsigned remote = 0;
    unsigned long long inode = 0;
    //   sl: local:port remote:port state tx:rx tr:when retrnsmt uid timeout
    //   inode
    if (std::sscanf(line.c_str(),
                    " %*d: %*x:%x %*x:%x %*x %*x:%*x %*x:%*x %*x %*u %*u %llu",
                    &local, &remote, &inode) == 3 &&
        local == from && remote == to) {
      return inode;
    }
  }
  return 0;
}

bool HasOpen(pid_t pid, const std::string& link) {
  std::error_code error;
  const std::string files = absl::StrCat("/proc/", pid, "/fd");
  for (std::filesystem::directory_iterator file(files, error), end;
       !error && file != end; file.increment(error)) {
    std::error_code gone;
    if (std::filesystem::read_symlink(file->path(), gone) == link) return true;
  }
  return false;
}

}  // namespace

pid_t OwnerOfConnection(uint16_t from, uint16_t to,
                        const std::vector<pid_t>& pids) {
  const uint64_t inode = FindInode(from, to);
  if (inode == 0) return 0;
  const std::string link = absl::StrCat("socket:[", inode, "]");
  for (pid_t pid : pids) {
    if (pid > 0 && HasOpen(pid, link)) return pid;
  }
  return 0;
}

}  // namespace paramo::chaos
