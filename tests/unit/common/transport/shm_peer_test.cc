// Lanes of shared memory between processes that are not as one would wish:
// servers that give more than was asked for, signals, and forks.
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/common/transport/shm_testing.h"

namespace paramo {
namespace {

class ShmPeerTest : public ShmTest {
 protected:
  // Listens in the place of the server, which it ends.
  Descriptor ListenInstead() {
    lanes_.reset();
    Descriptor listening(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_un address = Address();
    EXPECT_EQ(Call(bind, listening, address), 0);
    EXPECT_EQ(listen(listening.get(), 1), 0);
    return listening;
  }
  static void Grant(const Descriptor& to, const std::vector<int>& descriptors) {
    LaneGrant grant = {.token = 1, .lane = 2, .bytes = kLaneBytes};
    iovec data = {&grant, sizeof grant};
    const size_t bytes = descriptors.size() * sizeof(int);
    alignas(cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))] = {};
    msghdr message = {};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(bytes);
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(bytes);
    std::memcpy(CMSG_DATA(rights), descriptors.data(), bytes);
    EXPECT_EQ(sendmsg(to.get(), &message, MSG_NOSIGNAL),
              static_cast<ssize_t>(sizeof grant));
  }
};

TEST_F(ShmPeerTest, DescriptorsThatNobodyAskedForAreNotKept) {
  const Descriptor listening = ListenInstead();
  auto memory = SharedMemory::Make(kLaneBytes);
  ASSERT_TRUE(memory.ok()) << memory.status();
  const size_t before = OpenDescriptors();
  std::thread client([this] { (void)ShmClient::Connect(directory(), 1); });
  {
    const Descriptor to(accept(listening.get(), nullptr, nullptr));
    Grant(to, {(*memory)->descriptor(), STDERR_FILENO});
    client.join();
  }
  EXPECT_EQ(OpenDescriptors(), before);
}

std::atomic<bool>& Handled() {
  static std::atomic<bool> handled{false};
  return handled;
}

// Whether a thread sleeps, with these signals sent to it that it does not want
// now.
bool Sleeps(pid_t thread, const std::string& pending) {
  const std::string status =
      ReadAll("/proc/self/task/" + std::to_string(thread) + "/status");
  return status.find("State:\tS") != std::string::npos &&
         status.find("SigPnd:\t" + pending) != std::string::npos;
}

TEST_F(ShmPeerTest, ASignalDoesNotCostTheLane) {
  const Descriptor listening = ListenInstead();
  auto memory = SharedMemory::Make(kLaneBytes);
  ASSERT_TRUE(memory.ok()) << memory.status();
  struct sigaction on = {};
  on.sa_handler = [](int) { Handled() = true; };
  struct sigaction before = {};
  ASSERT_EQ(sigaction(SIGUSR1, &on, &before), 0);
  std::atomic<pid_t> id{0};
  absl::Status connected;
  std::thread client([&] {
    id = static_cast<pid_t>(syscall(SYS_gettid));
    connected = ShmClient::Connect(directory(), 1).status();
  });
  const Descriptor to(accept(listening.get(), nullptr, nullptr));
  EXPECT_TRUE(WaitUntil([&] { return Sleeps(id, "0000000000000000"); }));
  pthread_kill(client.native_handle(), SIGUSR1);
  // Bit 9 is that of signal 10.
  EXPECT_TRUE(
      WaitUntil([&] { return Handled() || Sleeps(id, "0000000000000200"); }));
  Grant(to, {(*memory)->descriptor()});
  client.join();
  EXPECT_TRUE(connected.ok()) << connected;
  EXPECT_TRUE(Handled());
  sigaction(SIGUSR1, &before, nullptr);
}

// As workers do that load data in processes of their own.
TEST_F(ShmPeerTest, AForkedChildDoesNotHoldTheLane) {
  auto client = MustConnect();
  const pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  client->Close();
  client.reset();
  EXPECT_TRUE(WaitUntil([&] { return Lanes() == 0; }));
  EXPECT_TRUE(Connect().ok());
  kill(child, SIGKILL);
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
}

}  // namespace
}  // namespace paramo
