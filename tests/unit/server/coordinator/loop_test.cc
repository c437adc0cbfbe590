#include "server/coordinator/loop.h"

#include <future>

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "tests/unit/server/coordinator/core_test_util.h"

namespace paramo {
namespace {

class LoopTest : public CoreTest {
 protected:
  LoopTest() {
    loop_ = std::make_unique<Loop>(
        *core_, time_,
        [this](const absl::Status& status) { failed_.set_value(status); });
  }
  // Creates a table through the loop and returns what it answers.
  std::future<absl::Status> CreateTable() {
    auto answer = std::make_shared<std::promise<absl::Status>>();
    auto reply = std::make_shared<v1::CreateTableReply>();
    absl::Status posted = loop_->Post([=](Core& core, absl::Duration now) {
      core.CreateTable(Table(), reply.get(), now,
                       [answer, reply](const absl::Status& status) {
                         answer->set_value(status);
                       });
    });
    EXPECT_TRUE(posted.ok()) << posted;
    return answer->get_future();
  }

  SteadyClock clock_;
  AwakeTime time_{clock_};
  std::promise<absl::Status> failed_;
  std::unique_ptr<Loop> loop_;
};

TEST_F(LoopTest, AnswersWhatIsPosted) { EXPECT_TRUE(CreateTable().get().ok()); }

TEST_F(LoopTest, ManyRequestsShareOneTransaction) {
  // The first command holds the loop until all others are posted.
  std::promise<void> go;
  std::promise<void> started;
  ASSERT_TRUE(loop_
                  ->Post([&](Core&, absl::Duration) {
                    started.set_value();
                    go.get_future().wait();
                  })
                  .ok());
  started.get_future().wait();
  int before = kv_.txns;
  std::vector<std::promise<void>> opened(50);
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(loop_
                    ->Post([&, i](Core& core, absl::Duration now) {
                      auto reply = std::make_shared<v1::CreateTableReply>();
                      core.CreateTable(Table(absl::StrCat("t", i)), reply.get(),
                                       now, [&, i, reply](const absl::Status&) {
                                         opened[i].set_value();
                                       });
                    })
                    .ok());
  }
  go.set_value();
  for (std::promise<void>& promise : opened) promise.get_future().wait();
  EXPECT_EQ(kv_.txns, before + 1);
}

TEST_F(LoopTest, TimePassesByItself) {
  // A server that never sends a heartbeat is found by the detector.
  ASSERT_TRUE(loop_
                  ->Post([](Core& core, absl::Duration now) {
                    v1::RegisterServerRequest request;
                    request.set_incarnation(11);
                    request.set_address("127.0.0.1:7701");
                    auto reply = std::make_shared<v1::RegisterServerReply>();
                    core.RegisterServer(request, reply.get(), now,
                                        [reply](const absl::Status&) {});
                  })
                  .ok());
  auto answer = CreateTable();  // waits for the server until it is down
  EXPECT_TRUE(answer.get().ok());
}

TEST_F(LoopTest, StoppingAnswersWhoWaitsAndTakesNoMore) {
  loop_->Stop();
  EXPECT_CODE(kUnavailable, loop_->Post([](Core&, absl::Duration) {}));
}

TEST_F(LoopTest, AFailedStoreIsReportedOnce) {
  kv_.fail = true;
  EXPECT_CODE(kUnavailable, CreateTable().get());
  EXPECT_FALSE(failed_.get_future().get().ok());
  EXPECT_CODE(kUnavailable, CreateTable().get());
}

TEST_F(LoopTest, RefusesMoreThanTheInboxHolds) {
  std::promise<void> go;
  std::promise<void> started;
  ASSERT_TRUE(loop_
                  ->Post([&](Core&, absl::Duration) {
                    started.set_value();
                    go.get_future().wait();
                  })
                  .ok());
  started.get_future().wait();
  absl::Status status;
  size_t posted = 0;
  while (status.ok() && posted <= kInboxMax) {
    status = loop_->Post([](Core&, absl::Duration) {});
    if (status.ok()) ++posted;
  }
  EXPECT_CODE(kResourceExhausted, status);
  EXPECT_GE(posted + 1, kInboxMax);  // a tick may have taken one place
  go.set_value();
}

}  // namespace
}  // namespace paramo
