// Core: connecting, connections, the default session, the end.
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/core/core.h"
#include "client/core/errors.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/transport/address.h"
#include "common/transport/data_client.h"
#include "common/wire/reply.h"
#include "common/wire/request.h"
#include "paramo/v1/control.pb.h"

namespace paramo::client {
namespace {

constexpr int kThreadsMax = 64;

// The server's half of the first exchange on a connection.
absl::Status CheckHello(const Rope& reply, uint64_t cluster_id,
                        SentLists& sent_lists) {
  PARAMO_ASSIGN_OR_RETURN(const wire::ReplyView view, wire::ParseReply(reply));
  // The address came from our cluster's state, so a server of another cluster
  // there means that the state is old, or that the server is still starting.
  if (view.reason == static_cast<uint32_t>(wire::Reason::kWrongCluster)) {
    return absl::UnavailableError(view.message);
  }
  if (view.code != 0) {
    return absl::Status(static_cast<absl::StatusCode>(view.code), view.message);
  }
  if (!view.hello.has_value()) {
    return absl::FailedPreconditionError(
        "the server did not say hello: is the address a Paramo server's?");
  }
  if (view.hello->protocol_min > wire::kProtocolVersion ||
      view.hello->protocol_max < wire::kProtocolVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the server (", view.hello->build, ") speaks protocol versions ",
        view.hello->protocol_min, " to ", view.hello->protocol_max,
        "; this client speaks ", wire::kProtocolVersion, ": update one"));
  }
  if (view.hello->cluster_id != cluster_id) {
    return absl::UnavailableError(
        "the server there belongs to another cluster, or is starting");
  }
  sent_lists.OnHello(*view.hello);
  return absl::OkStatus();
}

}  // namespace

Core::Core(ConnectOptions options)
    : options_(std::move(options)),
      executor_(std::make_unique<ClientExecutor>(options_.threads)),
      delivery_(MakeRandomId()),
      timer_until_(absl::InfiniteDuration()) {}

Result<std::unique_ptr<Core>> Core::Connect(ConnectOptions options) {
  if (options.addresses.empty()) {
    const char* environment = std::getenv("PARAMO_ADDRESS");
    if (environment != nullptr) options.addresses = environment;
  }
  if (options.addresses.empty()) {
    return Status(Code::kInvalidArgument, "no address of a cluster is given",
                  "set PARAMO_ADDRESS to the coordinator's host:port "
                  "(`paramo dev` prints it), or ConnectOptions::addresses");
  }
  auto addresses = ParseAddressList(options.addresses);
  if (!addresses.ok()) return FromAbsl(addresses.status(), "connect");
  if (options.threads < 1 || options.threads > kThreadsMax ||
      options.timeout.count() <= 0 || options.deadline.count() <= 0) {
    return Status(Code::kInvalidArgument,
                  "ConnectOptions: threads must be 1 to 64, timeout and "
                  "deadline above 0");
  }
  const char* shm = std::getenv("PARAMO_SHM");
  if (shm != nullptr && std::string_view(shm) == "off") options.shm = false;
  if (options.log == nullptr) {
    options.log = [](const std::string& line) {
      std::fprintf(stderr, "paramo: %s\n", line.c_str());
    };
  }
  std::vector<std::string> seeds;
  for (const Address& address : *addresses) seeds.push_back(address.ToString());

  std::unique_ptr<Core> core(new Core(std::move(options)));
  Core* self = core.get();
  core->control_ = std::make_unique<Control>(std::move(seeds));
  View::Options view;
  view.log = core->options_.log;
  view.on_map = [self](std::shared_ptr<const ShardMap> map) {
    self->Step([&](absl::Duration now, Effects& effects) {
      self->mu_.AssertHeld();
      self->delivery_.OnMap(std::move(map), now, effects);
    });
  };
  core->view_ = std::make_unique<View>(*core->control_, self, std::move(view));
  core->view_->Start();
  core->timer_ = std::thread([self] { self->RunTimer(); });
  const absl::Status ready =
      core->view_->WaitComplete(absl::FromChrono(core->options_.timeout));
  if (!ready.ok()) return FromAbsl(ready, "connect");
  return core;
}

// No thread may find something destroyed: first the view and the timer stop
// asking for sends, then every call is failed, then the channels call every
// `done` that is left and go.
Core::~Core() {
  view_->Stop();
  {
    MutexLock lock(mu_);
    stopping_ = true;
    timer_wake_.NotifyAll();
  }
  timer_.join();
  Step([this](absl::Duration, Effects& effects) {
    mu_.AssertHeld();
    delivery_.Shutdown(effects);
  });
  std::map<std::string, Lanes> channels;
  {
    MutexLock lock(channels_mu_);
    channels.swap(channels_);
  }
  for (auto& entry : channels) {
    entry.second.small->Close();
    entry.second.bulk->Close();
  }
}

Result<std::shared_ptr<Session>> Core::DefaultSession() {
  if (auto session = OpenedSession()) return session;
  MutexLock opening(opening_mu_);
  if (auto session = OpenedSession()) return session;
  auto reply = control_->OpenSession(Deadline({}));
  if (!reply.ok()) return FromAbsl(reply.status(), "open session");
  MutexLock lock(session_mu_);
  session_ =
      std::make_shared<Session>((*reply)->session(), (*reply)->session_epoch(),
                                view_->map()->shard_count());
  return session_;
}

std::shared_ptr<Session> Core::OpenedSession() {
  MutexLock lock(session_mu_);
  return session_;
}

// ---- Connections ------------------------------------------------------------

Core::Lanes& Core::LanesTo(const std::string& address) {
  MutexLock lock(channels_mu_);
  Lanes& lanes = channels_[address];
  if (lanes.small == nullptr) {
    lanes.sent_lists = std::make_shared<SentLists>();
    lanes.small =
        MakeChannel(address, "small", /*shm=*/false, lanes.sent_lists);
    lanes.bulk = MakeChannel(address, "bulk", options_.shm, lanes.sent_lists);
  }
  return lanes;
}

std::unique_ptr<DataChannel> Core::MakeChannel(
    const std::string& address, const char* lane, bool shm,
    const std::shared_ptr<SentLists>& sent_lists) {
  DataChannel::Options options;
  options.shm = shm;
  options.address = address;
  options.lane = lane;
  // By value: a stream that is being cancelled may still ask for its Hello.
  const std::shared_ptr<const ShardMap> map = view_->map();
  wire::Hello hello;
  hello.cluster_id = map->cluster_id();
  hello.cluster_incarnation = map->cluster_incarnation();
  hello.build = "paramo client 0.1.0";
  options.hello = [hello] { return wire::WriteHelloRequest(/*id=*/0, hello); };
  options.check_hello = [cluster_id = hello.cluster_id,
                         sent_lists](const Rope& reply) {
    return CheckHello(reply, cluster_id, *sent_lists);
  };
  options.probe = [cluster_id = hello.cluster_id](uint64_t id) {
    wire::RequestWriter nothing(id, cluster_id, kDeadlineMaxMs);
    nothing.Allocate();
    return nothing.Take();
  };
  return std::make_unique<DataChannel>(*executor_, std::move(options));
}

}  // namespace paramo::client
