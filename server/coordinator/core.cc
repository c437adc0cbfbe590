// The core's life: loading, committing, answering. Requests are in
// core_requests.cc.
#include "server/coordinator/core.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/control.pb.h"
#include "paramo/v1/stored.pb.h"

namespace paramo {
namespace {

constexpr char kClusterKey[] = "cluster";

bool IsPowerOfTwo(uint32_t n) { return n > 0 && (n & (n - 1)) == 0; }

absl::Status CheckShards(uint32_t shards) {
  if (IsPowerOfTwo(shards) && shards <= kShardsMax) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--shards is ", shards, "; it must be a power of two up to ",
                   kShardsMax));
}

}  // namespace

Core::Core(const CoreOptions& options, KvStore& kv, Liveness& liveness,
           Publish publish)
    : options_(options),
      liveness_(liveness),
      publish_(std::move(publish)),
      store_(kv, options.fence),
      cluster_(std::make_unique<v1::StoredCluster>()),
      jobs_(changes_) {}

Core::~Core() = default;

uint64_t Core::cluster_id() const { return cluster_->cluster_id(); }

absl::StatusOr<std::unique_ptr<Core>> Core::Open(const CoreOptions& options,
                                                 KvStore& kv,
                                                 Liveness& liveness,
                                                 absl::Duration now,
                                                 Publish publish) {
  std::unique_ptr<Core> core(
      new Core(options, kv, liveness, std::move(publish)));
  PARAMO_RETURN_IF_ERROR(core->Load(now));
  PARAMO_RETURN_IF_ERROR(core->Commit(now));
  return core;
}

// ---- Loading ----------------------------------------------------------------

absl::Status Core::Load(absl::Duration now) {
  using Entries = std::map<std::string, std::string>;
  PARAMO_ASSIGN_OR_RETURN(Entries entries, store_.Load());
  PARAMO_RETURN_IF_ERROR(LoadCluster(entries));
  if (entries.empty()) {
    for (IdCounter* ids : counters()) ids->Store();
  }
  for (const auto& [key, value] : entries) {
    absl::string_view rest = key;
    if (absl::ConsumePrefix(&rest, "jobs/") && absl::EndsWith(rest, "/spec")) {
      PARAMO_RETURN_IF_ERROR(jobs_.LoadSpec(rest, value));
    }
  }
  for (const auto& [key, value] : entries) {
    PARAMO_RETURN_IF_ERROR(Annotate(LoadEntry(key, value), key));
  }
  PARAMO_RETURN_IF_ERROR(CheckComplete(entries));
  membership_->Reconcile(now);
  jobs_.Resume(now);
  // Two suspicion periods of grace: servers have to find this process first.
  membership_->ForEachUp([&](const v1::Server& server) {
    liveness_.Track(server.id(), server.incarnation(), now, kSuspicionTime);
  });
  changes_.MarkStateChanged();
  return absl::OkStatus();
}

std::array<IdCounter*, 3> Core::counters() {
  return {&catalogue_->ids(), &jobs_.ids(), &jobs_.sessions()};
}

absl::Status Core::MakeCluster() {
  const uint32_t shards =
      options_.shards != 0 ? options_.shards : kShardsDefault;
  PARAMO_RETURN_IF_ERROR(CheckShards(shards));
  cluster_->set_cluster_id(MakeRandomId());
  cluster_->set_cluster_incarnation(MakeRandomId());
  cluster_->set_shard_count(shards);
  cluster_->set_has_counters(true);
  changes_.Put(kClusterKey, cluster_->SerializeAsString());
  LogInfo("made cluster %016x with %d shards", cluster_->cluster_id(), shards);
  return absl::OkStatus();
}

absl::Status Core::LoadCluster(
    const std::map<std::string, std::string>& entries) {
  v1::StoredCluster& cluster = *cluster_;
  auto stored = entries.find(kClusterKey);
  if (stored == entries.end()) {
    if (!entries.empty() || options_.cluster_id != 0) {
      return absl::DataLossError(
          "the store has lost its cluster entry; restore it from a copy");
    }
    PARAMO_RETURN_IF_ERROR(MakeCluster());
  } else if (!cluster.ParseFromString(stored->second) ||
             !CheckShards(cluster.shard_count()).ok()) {
    return absl::DataLossError("unreadable cluster entry");
  }
  if (options_.cluster_id != 0 && options_.cluster_id != cluster.cluster_id()) {
    return absl::DataLossError(absl::StrFormat(
        "the store holds cluster %016x where %016x was before; restart this "
        "coordinator to accept it",
        cluster.cluster_id(), options_.cluster_id));
  }
  if (options_.shards != 0 && options_.shards != cluster.shard_count()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the cluster has ", cluster.shard_count(), " shards for ever; leave ",
        "--shards ", options_.shards, " out, or use an empty store"));
  }
  MembershipOptions options;
  options.cluster_id = cluster.cluster_id();
  options.cluster_incarnation = cluster.cluster_incarnation();
  options.shard_count = cluster.shard_count();
  options.servers_expected = options_.servers_expected;
  options.replicas = options_.replicas;
  options.balance_after = options_.balance_after;
  options.min_insync = options_.replicas > 2 ? 2 : 1;
  membership_ = std::make_unique<Membership>(options, changes_);
  catalogue_ = std::make_unique<Catalogue>(cluster.cluster_id(),
                                           options_.rule_check, changes_);
  return absl::OkStatus();
}

absl::Status Core::LoadEntry(const std::string& key, const std::string& value) {
  absl::string_view rest = key;
  if (absl::ConsumePrefix(&rest, "servers/")) {
    return membership_->LoadServer(value);
  }
  if (absl::ConsumePrefix(&rest, "shards/")) {
    return membership_->LoadShard(value);
  }
  if (absl::ConsumePrefix(&rest, "tables/")) {
    return catalogue_->LoadTable(value);
  }
  if (absl::ConsumePrefix(&rest, "jobs/")) {
    return absl::EndsWith(rest, "/spec") ? absl::OkStatus()
                                         : jobs_.LoadPart(rest, value);
  }
  if (key == kClusterKey) return absl::OkStatus();
  for (IdCounter* ids : counters()) {
    if (key == ids->key() && ids->Load(value)) return absl::OkStatus();
  }
  return absl::DataLossError("unknown entry; use the build that wrote it");
}

// What somebody has deleted by hand is not made anew: a shard would start
// again at epoch 1, a session's number would be given twice.
absl::Status Core::CheckComplete(
    const std::map<std::string, std::string>& entries) {
  auto check = [&](bool wanted, const std::string& key) {
    if (!wanted || entries.count(key) > 0) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat(
        "entry ", key, " is missing; restore the store from a copy"));
  };
  for (IdCounter* ids : counters()) {
    PARAMO_RETURN_IF_ERROR(
        check(cluster_->has_counters() && !entries.empty(), ids->key()));
  }
  for (uint32_t id = 0; id < cluster_->shard_count(); ++id) {
    PARAMO_RETURN_IF_ERROR(
        check(cluster_->has_shards(), absl::StrCat("shards/", id)));
    for (const uint32_t server : membership_->ServersOf(id)) {
      PARAMO_RETURN_IF_ERROR(check(true, absl::StrCat("servers/", server)));
    }
  }
  return absl::OkStatus();
}

void Core::NoteShards() {
  if (cluster_->has_shards()) return;
  for (uint32_t id = 0; id < cluster_->shard_count(); ++id) {
    if (!membership_->placed(id)) return;
  }
  cluster_->set_has_shards(true);
  changes_.Put(kClusterKey, cluster_->SerializeAsString());
}

// ---- Ending a step ----------------------------------------------------------

absl::Status Core::Commit(absl::Duration now) {
  if (store_failed_.ok()) {
    store_failed_ = changes_.empty() ? store_.CheckFence()
                                     : store_.Commit(changes_).status();
  }
  if (store_failed_.ok() && changes_.state_changed()) {
    PublishState();
    jobs_.Ask(version_);
  }
  changes_.Clear();
  if (store_failed_.ok()) NoteShards();  // with the next step
  for (Barriers::Answer& answer : jobs_.TakeAnswers()) {
    Reply(std::move(answer.done), std::move(answer.status));
  }
  Send(std::exchange(answers_, {}), now);
  return store_failed_;
}

void Core::PublishState() {
  auto state = std::make_shared<v1::ClusterState>();
  membership_->FillState(state.get());
  catalogue_->FillState(state.get());
  jobs_.FillState(state.get());
  // The store's revision grows with every write and survives restarts, which
  // is all that a version must do.
  version_ = static_cast<uint64_t>(store_.revision());
  state->set_version(version_);
  publish_(std::move(state));
}

void Core::Send(std::vector<Answer> answers, absl::Duration now) {
  for (Answer& answer : answers) {
    if (!store_failed_.ok()) {
      answer.done(absl::UnavailableError(absl::StrCat(
          "the coordinator's store failed: ", store_failed_.message())));
      continue;
    }
    if (!answer.status.ok() || !answer.when_applied) {
      answer.done(answer.status);
      continue;
    }
    if (answer.set_version) answer.set_version(version_);
    waits_.push_back(
        {std::move(answer), version_, now + options_.applied_wait});
  }
  // Most often nobody is behind (no server yet, or nothing changed).
  for (size_t i = 0; i < waits_.size();) {
    if (store_failed_.ok() && !Decided(waits_[i])) {
      ++i;
      continue;
    }
    bool behind = !liveness_.FindBehind(waits_[i].version).empty();
    if (store_failed_.ok() && behind) {
      ++i;
      continue;
    }
    Answer answer = std::move(waits_[i].answer);
    waits_.erase(waits_.begin() + static_cast<ptrdiff_t>(i));
    answer.done(store_failed_);
  }
  has_applied_waits_.store(!waits_.empty() || jobs_.undecided(),
                           std::memory_order_relaxed);
}

// Once it is, the answer waits for the servers to know what was decided.
bool Core::Decided(AppliedWait& wait) {
  if (!wait.answer.decided) return true;
  if (!wait.answer.decided()) return false;
  wait.answer.decided = nullptr;
  wait.version = version_;
  if (wait.answer.set_version) wait.answer.set_version(version_);
  return true;
}

// ---- Waiting for servers ----------------------------------------------------

void Core::Reply(Done done, absl::Status status) {
  Answer answer;
  answer.done = std::move(done);
  answer.status = std::move(status);
  answers_.push_back(std::move(answer));
}

void Core::ReplyWhenApplied(Answer answer) {
  answer.when_applied = true;
  answers_.push_back(std::move(answer));
}

// Gives up on waits past their deadline; Send finds those that are satisfied.
void Core::CheckApplied(absl::Duration now) {
  std::vector<AppliedWait> waits = std::exchange(waits_, {});
  for (AppliedWait& wait : waits) {
    std::vector<uint32_t> behind = liveness_.FindBehind(wait.version);
    const bool satisfied = behind.empty() && !wait.answer.decided;
    if (satisfied || wait.deadline > now) {
      waits_.push_back(std::move(wait));
      continue;
    }
    if (wait.answer.undo) wait.answer.undo(now);
    Reply(std::move(wait.answer.done),
          absl::UnavailableError(absl::StrCat(
              "server ",
              behind.empty() ? "(one is down)" : absl::StrJoin(behind, ", "),
              " did not apply state ", wait.version, " within ",
              absl::FormatDuration(options_.applied_wait), "; try again")));
  }
}

void Core::Tick(absl::Duration now) {
  for (const Liveness::Silent& silent : liveness_.FindSilent(now)) {
    ServerGone(
        silent.server, silent.incarnation,
        absl::StrCat("silent for ", absl::FormatDuration(silent.silence)), now);
  }
  CheckReach(now);
  membership_->Tick(now);
  jobs_.Tick(now, [this](uint32_t job) { return liveness_.OpenRound(job); });
  jobs_.Decide([this](uint32_t job) { return liveness_.OpenRound(job); },
               [this](uint64_t version) { return AppliedEverywhere(version); });
  CheckApplied(now);
}

void Core::CheckReach(absl::Duration now) {
  std::map<ServerLife, Reach> reach;
  for (const Liveness::Silent& silent : liveness_.FindUnanswering(now)) {
    reach[{silent.server, silent.incarnation}] =
        silent.silence > kProbeSuspicion ? Reach::kNone : Reach::kLate;
  }
  membership_->SetReach(reach, now);
}

void Core::OnReports(const v1::HeartbeatRequest& beat, absl::Duration now) {
  // Of another life, or of a server that looks dead: it will say it again.
  const v1::Server* server = membership_->Find(beat.server_id());
  if (server == nullptr || server->incarnation() != beat.incarnation()) return;
  membership_->OnReports(beat, now);
}

// Also by servers that are down: what their shards had closed before is known
// when they are back, and until then no round of a job closes anyway.
bool Core::AppliedEverywhere(uint64_t version) const {
  return membership_->AllPrimariesUp() && liveness_.FindBehind(version).empty();
}

void Core::ServerGone(uint32_t server, uint64_t incarnation,
                      absl::string_view why, absl::Duration now) {
  liveness_.Forget(server, incarnation);
  if (!membership_->MarkDown(server, incarnation, now)) return;
  LogWarning("server %d is down: %s", server, why);
}

void Core::Close(absl::Duration now) {
  jobs_.Close();
  for (AppliedWait& wait : std::exchange(waits_, {})) {
    Reply(std::move(wait.answer.done),
          absl::UnavailableError("the coordinator stops; try again"));
  }
  (void)Commit(now);  // has been logged; nothing is left to undo
}

}  // namespace paramo
