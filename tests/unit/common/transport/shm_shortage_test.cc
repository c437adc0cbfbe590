// Lanes of shared memory where descriptors, memory or pages are short.
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <ctime>
#include <functional>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "common/wire/seal.h"
#include "tests/unit/common/transport/shm_testing.h"

namespace paramo {
namespace {

// Lowers a limit of this process while it exists.
class Limit {
 public:
  Limit(int resource, rlim_t value) : resource_(resource) {
    EXPECT_EQ(getrlimit(resource_, &before_), 0);
    rlimit lower = before_;
    lower.rlim_cur = value;
    EXPECT_EQ(setrlimit(resource_, &lower), 0);
  }
  ~Limit() { setrlimit(resource_, &before_); }

 private:
  const int resource_;
  rlimit before_ = {};
};

// Leaves this process `spare` descriptors while it exists.
class FewDescriptors {
 public:
  explicit FewDescriptors(size_t spare) : limit_(RLIMIT_NOFILE, 200) {
    for (;;) {
      Descriptor another(dup(STDERR_FILENO));
      if (!another.valid()) break;
      taken_.push_back(std::move(another));
    }
    EXPECT_GT(taken_.size(), spare);
    taken_.resize(taken_.size() - spare);
  }

 private:
  const Limit limit_;
  std::vector<Descriptor> taken_;
};

double CpuSeconds() {
  timespec used = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) +
         1e-9 * static_cast<double>(used.tv_nsec);
}

// What it returns in a child of this process.
int InChild(const std::function<int()>& act) {
  const pid_t child = fork();
  if (child == 0) _exit(act());
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  return WEXITSTATUS(status);
}

class ShmShortageTest : public ShmTest {};

// ---- Descriptors ------------------------------------------------------------

// Its thread would otherwise ask again for as long as it is short of them.
TEST_F(ShmShortageTest, AServerWithoutADescriptorWaitsAndDoesNotSpin) {
  const sockaddr_un address = Address();
  Descriptor to(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  pollfd answer = {to.get(), POLLIN, 0};
  {
    const FewDescriptors none(0);
    ASSERT_EQ(Call(connect, to, address), 0);
    const double before = CpuSeconds();
    EXPECT_EQ(poll(&answer, 1, /*timeout=*/1000), 0);
    EXPECT_LT(CpuSeconds() - before, 0.05);
  }
  // It has one again.
  EXPECT_EQ(poll(&answer, 1, /*timeout=*/10'000), 1);
  EXPECT_TRUE(WaitUntil([&] { return Lanes() == 1; }));
}

TEST_F(ShmShortageTest, AServerWithoutADescriptorForMemoryRefuses) {
  const sockaddr_un address = Address();
  Descriptor to(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  char byte;
  {
    const FewDescriptors one(1);  // for the connection
    ASSERT_EQ(Call(connect, to, address), 0);
    EXPECT_EQ(read(to.get(), &byte, 1), 0);
  }
  EXPECT_EQ(Refused("no_memory"), 1);
  EXPECT_EQ(Lanes(), 0);
  EXPECT_TRUE(Connect().ok());
}

// The directory and the socket at a time, then the socket and the memory.
TEST_F(ShmShortageTest, AClientWithoutDescriptorsLeavesNoneOpen) {
  const int needed = InChild([this] {
    // UndefinedBehaviorSanitizer looks at a type through a pipe, once.
    if (!Connect().ok()) return 102;
    const size_t before = OpenDescriptors();
    for (int spare = 0; spare < 10; ++spare) {
      bool connected;
      {
        const FewDescriptors few(static_cast<size_t>(spare));
        connected = Connect().ok();
      }
      if (OpenDescriptors() != before) return 100;
      if (connected) return spare;
    }
    return 101;
  });
  EXPECT_EQ(needed, 2);
  EXPECT_TRUE(WaitUntil([&] { return Lanes() == 0; }));
}

// ---- Memory -----------------------------------------------------------------

#if !defined(__SANITIZE_ADDRESS__)  // which needs address space of its own

// What this process has, and less than a lane more.
rlim_t NoRoomForALane() {
  const size_t pages = std::stoull(ReadAll("/proc/self/statm"));
  return pages * static_cast<rlim_t>(getpagesize()) + kLaneBytes / 2;
}

TEST_F(ShmShortageTest, AServerWithoutAddressSpaceRefuses) {
  ASSERT_TRUE(Connect().ok());  // what its thread needs besides a lane
  ASSERT_TRUE(WaitUntil([&] { return Lanes() == 0; }));
  {
    const Limit little(RLIMIT_AS, NoRoomForALane());
    EXPECT_TRUE(absl::IsUnavailable(Connect().status()));
  }
  EXPECT_EQ(Refused("no_memory"), 1);
  EXPECT_EQ(Lanes(), 0);
  EXPECT_TRUE(Connect().ok());
}

TEST_F(ShmShortageTest, AClientWithoutAddressSpaceGivesItsLaneBack) {
  EXPECT_EQ(InChild([this] {
              const size_t before = OpenDescriptors();
              const Limit little(RLIMIT_AS, NoRoomForALane());
              if (Connect().ok()) return 1;
              return OpenDescriptors() == before ? 0 : 2;
            }),
            0);
  EXPECT_TRUE(WaitUntil([&] { return Lanes() == 0; }));
  EXPECT_EQ(Refused("no_memory"), 0);
}

#endif

// As a kernel does that commits no more memory than it has. Of this thread.
bool ForbidPages() {
  sock_filter steps[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fallocate, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSPC),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  const sock_fprog program = {std::size(steps), steps};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// Who wrote to a page that there is none for would be killed by a signal.
TEST_F(ShmShortageTest, ABlockHasItsPagesOrIsNotMade) {
  auto client = MustConnect();
  auto warm = client->Make(kLaneBytes / 4, 0);
  ASSERT_TRUE(warm.has_value());
  bool forbidden = false;
  bool cold_made = true;
  bool warm_made = false;
  warm.reset();
  std::thread short_of_pages([&] {
    forbidden = ForbidPages();
    cold_made = client->Make(kLaneBytes / 2, 0).has_value();
    warm_made = client->Make(kLaneBytes / 8, 0).has_value();
  });
  short_of_pages.join();
  if (!forbidden) GTEST_SKIP() << "no system calls can be forbidden here";
  EXPECT_FALSE(cold_made);
  EXPECT_TRUE(warm_made);  // where others have been before
  // Nothing of the lane was lost.
  EXPECT_TRUE(client->Make(kLaneBytes - wire::kSealBytes, 0).has_value());
}

TEST_F(ShmShortageTest, PagesOfABlockAreThereBeforeItIsUsed) {
  auto client = MustConnect();
  const auto lane = Claim(*client);
  const auto resident = [&] {
    struct stat is = {};
    EXPECT_EQ(fstat(lane->memory->descriptor(), &is), 0);
    return static_cast<size_t>(is.st_blocks) * 512;
  };
  EXPECT_LT(resident(), kLaneBytes / 4);
  // For the reply too: it is the server who would be killed.
  const auto block = client->Make(kLaneBytes / 4, kLaneBytes / 4);
  EXPECT_GE(resident(), kLaneBytes / 2);
  EXPECT_LT(resident(), kLaneBytes);
}

}  // namespace
}  // namespace paramo
