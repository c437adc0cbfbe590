// `paramo server ...`: who is there, and who is to go.
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/commands.h"
#include "client/cli/describe.h"
#include "client/cli/drain.h"
#include "client/cli/interrupt.h"
#include "client/core/control.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/config/value.h"
#include "paramo/v1/cluster.pb.h"

namespace paramo::cli {
namespace {

// How often the state is looked at.
constexpr absl::Duration kLookEvery = absl::Milliseconds(100);

// The positional argument that says which server.
struct ServerArgument {
  std::string text;
  uint32_t server = 0;

  void AddTo(Config& config) {
    config.Positional("server", text, "the server's number");
    config.Check([this] {
      auto number = ParseInt(text, {1, kServersMax});
      if (number.ok()) server = static_cast<uint32_t>(*number);
      return number.status();
    });
  }
};

std::string HowToGoOn(uint32_t server) {
  return absl::StrCat("It goes on being emptied: `paramo server drain ", server,
                      "` waits again, `paramo server undrain ", server,
                      "` calls it off");
}

std::string ProgressText(uint32_t server, const Drain& drain) {
  return absl::StrCat("server ", server, " leads ", drain.leads,
                      " shards and holds ", drain.holds, " replicas\n");
}

std::string DoneText(uint32_t server, const Drain& drain) {
  if (drain.holds == 0) {
    return absl::StrCat("server ", server, " is empty and may be stopped\n");
  }
  return absl::StrCat(
      "server ", server, " leads nothing. It keeps ", drain.holds,
      " backups, because no other server can take them: start another server, "
      "or stop this one and do with one replica less of those shards\n");
}

// Waits until the server is as empty as it can be, and says how it goes.
absl::Status AwaitDrain(client::Control& control, const ClusterFlags& flags,
                        uint32_t server, absl::Duration within) {
  Interrupt interrupt;
  const absl::Time deadline = absl::Now() + within;
  std::string told;
  bool marked = false;
  while (true) {
    PARAMO_ASSIGN_OR_RETURN(auto state, control.State(flags.timeout));
    const Drain drain = LookAtDrain(*state, server);
    if (marked && !drain.marked) {
      return absl::AbortedError(absl::StrCat(
          "server ", server, " was undrained by somebody else meanwhile"));
    }
    marked = drain.marked;  // one that lags behind may not know yet
    const std::string text =
        drain.done() ? DoneText(server, drain) : ProgressText(server, drain);
    if (marked && !flags.json() && text != told) Print(text);
    told = text;
    if (drain.done()) return absl::OkStatus();
    if (interrupt.Wait(kLookEvery)) {
      return absl::CancelledError(
          absl::StrCat("interrupted. ", HowToGoOn(server)));
    }
    if (absl::Now() < deadline) continue;
    return absl::DeadlineExceededError(absl::StrCat(
        "after ", absl::FormatDuration(within), " server ", server,
        " still leads ", drain.leads, " shards and holds ", drain.holds,
        " replicas", drain.obstacle.empty() ? "" : ", because ", drain.obstacle,
        ". ", HowToGoOn(server)));
  }
}

int ShowServers(client::Control& control, const ClusterFlags& flags) {
  auto state = control.State(flags.timeout);
  if (!state.ok()) return Fail(state.status());
  const int shown = ShowRecords(flags, ServerRecords(**state));
  if (!flags.json()) Print(LostShardsText(**state));
  return shown;
}

}  // namespace

int RunServerList(const Args& args) {
  ClusterFlags flags;
  Config config("paramo server list",
                "every server: the shards that it leads, and all replicas");
  flags.AddTo(config);
  config.Example("paramo server list");
  if (auto status = config.ParseMain(args)) return *status;
  client::Control control(flags.address);
  return ShowServers(control, flags);
}

int RunServerDrain(const Args& args) {
  ClusterFlags flags;
  ServerArgument which;
  absl::Duration within = absl::Minutes(5);
  Config config("paramo server drain",
                "empties a server: others take what it leads and holds");
  which.AddTo(config);
  config.Duration("within", within, {absl::ZeroDuration(), absl::Hours(24)},
                  "wait so long; 0s = do not wait");
  flags.AddTo(config);
  config.Example("paramo server drain 2");
  config.Example("paramo server drain 2 --within 30m");
  if (auto status = config.ParseMain(args)) return *status;
  client::Control control(flags.address);
  absl::Status status =
      control.DrainServer(which.server, /*undo=*/false, flags.timeout);
  if (status.ok() && within > absl::ZeroDuration()) {
    status = AwaitDrain(control, flags, which.server, within);
  }
  if (!status.ok()) return Fail(status);
  return flags.json() ? ShowServers(control, flags) : kExitOk;
}

int RunServerUndrain(const Args& args) {
  ClusterFlags flags;
  ServerArgument which;
  Config config("paramo server undrain",
                "lets a drained server lead shards and hold replicas again");
  which.AddTo(config);
  flags.AddTo(config);
  config.Example("paramo server undrain 2");
  if (auto status = config.ParseMain(args)) return *status;
  client::Control control(flags.address);
  const absl::Status status =
      control.DrainServer(which.server, /*undo=*/true, flags.timeout);
  if (!status.ok()) return Fail(status);
  return flags.json() ? ShowServers(control, flags) : kExitOk;
}

}  // namespace paramo::cli
