#include "client/core/errors.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"

namespace paramo::client {
namespace {

using wire::Outcome;
using wire::Reason;

// "push of tables ads, users".
std::string What(const Call& call) {
  std::vector<std::string> tables;
  for (const Part& part : call.parts) {
    const std::string& name = part.handle->info.spec.name;
    if (std::find(tables.begin(), tables.end(), name) == tables.end()) {
      tables.push_back(name);
    }
  }
  std::string what = call.is_push ? "push" : "pull";
  if (tables.empty()) return what;
  const size_t shown = std::min<size_t>(tables.size(), 4);
  absl::StrAppend(&what, tables.size() == 1 ? " of table " : " of tables ",
                  absl::StrJoin(tables.begin(), tables.begin() + shown, ", "));
  if (shown < tables.size()) {
    absl::StrAppend(&what, " and ", tables.size() - shown, " more");
  }
  return what;
}

// Parcels of a push by what became of them.
struct Tally {
  int taken = 0;    // applied, accumulated or dropped: answered well
  int refused = 0;  // certainly not applied
  int unknown = 0;
};

Tally Count(const Call& call) {
  Tally tally;
  for (uint32_t i = 0; i < call.parcels.size(); ++i) {
    if (call.parcels[i].is_pull) continue;
    const Progress& progress = call.progress[i];
    if (progress.error.ok()) {
      ++tally.taken;
      continue;
    }
    // A refusal is the answer to the number, so earlier attempts that left
    // are refused with it; other errors leave their outcome open.
    const bool answered =
        progress.answer.code != 0 &&
        progress.error.code() ==
            static_cast<absl::StatusCode>(progress.answer.code);
    const auto reason = static_cast<Reason>(progress.answer.reason);
    const bool final_answer =
        answered && reason != Reason::kSessionExpired &&
        reason != Reason::kSessionFenced && reason != Reason::kNotAMember &&
        reason != Reason::kDeadline && reason != Reason::kSeqMismatch;
    if (progress.left && !final_answer) {
      ++tally.unknown;
    } else {
      ++tally.refused;
    }
  }
  return tally;
}

Applied AppliedOf(const Tally& tally) {
  if (tally.unknown > 0) return Applied::kUnknown;
  if (tally.refused == 0) return Applied::kYes;
  return tally.taken == 0 ? Applied::kNo : Applied::kPartly;
}

// The parcel whose error is told: the first definite one, else the first.
uint32_t WorstParcel(const Call& call) {
  uint32_t first = static_cast<uint32_t>(call.parcels.size());
  for (uint32_t i = 0; i < call.parcels.size(); ++i) {
    const absl::Status& error = call.progress[i].error;
    if (error.ok()) continue;
    if (error.code() != absl::StatusCode::kDeadlineExceeded &&
        error.code() != absl::StatusCode::kCancelled) {
      return i;
    }
    first = std::min(first, i);
  }
  return first;
}

}  // namespace

std::string DescribeWait(const Call& call, absl::Duration now) {
  std::set<ShardId> shards;
  std::set<std::string> endpoints;
  int attempts = 0;
  int queued = 0;
  const Progress* failed = nullptr;
  for (uint32_t i = 0; i < call.parcels.size(); ++i) {
    const Progress& progress = call.progress[i];
    if (progress.state == ParcelState::kSettled) continue;
    shards.insert(call.parcels[i].shard);
    if (!progress.endpoint.empty()) endpoints.insert(progress.endpoint);
    attempts = std::max(attempts, progress.attempts);
    queued += progress.state == ParcelState::kQueued;
    if (!progress.error.ok()) failed = &progress;
  }
  std::vector<ShardId> shown(shards.begin(), shards.end());
  const size_t more = shown.size() > 6 ? shown.size() - 6 : 0;
  shown.resize(shown.size() - more);
  std::string text = absl::StrFormat(
      "%s has waited %.1f s for %d of %d sections: shard %s", What(call),
      absl::ToDoubleSeconds(now - call.start), call.open, call.parcels.size(),
      absl::StrJoin(shown, ", "));
  if (more > 0) absl::StrAppend(&text, " and ", more, " more");
  if (!endpoints.empty()) {
    absl::StrAppend(&text, " at ", absl::StrJoin(endpoints, ", "));
  }
  if (call.clock > 0) absl::StrAppend(&text, ", clock ", call.clock);
  if (queued > 0) {
    absl::StrAppend(&text, "; ", queued, " behind earlier pushes");
  }
  absl::StrAppend(&text, " (", attempts,
                  attempts == 1 ? " attempt" : " attempts");
  if (failed != nullptr) {
    absl::StrAppend(&text, "; last: ", paramo::ToString(failed->error));
  }
  return absl::StrCat(text, ")");
}

Status MakeStatus(const Call& call, absl::Duration now) {
  const uint32_t worst = WorstParcel(call);
  if (worst == call.parcels.size()) return Status();
  const Parcel& parcel = call.parcels[worst];
  const Progress& progress = call.progress[worst];
  const Code code = static_cast<Code>(progress.error.code());

  ErrorDetails details;
  const absl::string_view message = progress.error.message();
  details.message = std::string(message.data(), message.size());
  details.action = What(call);
  if (parcel.part != Parcel::kNoPart) {
    details.table = call.parts[parcel.part].handle->info.spec.name;
  }
  details.shard = parcel.shard;
  details.endpoint = progress.endpoint;
  details.attempts = progress.attempts;
  details.elapsed = absl::ToChronoMilliseconds(now - call.start);
  const bool answered =
      progress.answer.code == static_cast<uint32_t>(progress.error.code());
  details.hint = HintFor(code, answered ? progress.answer.reason : 0);
  if (answered) {
    details.reason =
        wire::ReasonName(static_cast<Reason>(progress.answer.reason));
  }
  if (call.is_push) {
    const Tally tally = Count(call);
    details.applied = AppliedOf(tally);
    details.sections_taken = tally.taken;
    details.sections = tally.taken + tally.refused + tally.unknown;
  }
  return Status(code, std::move(details));
}

PushAck MakeAck(const Call& call) {
  PushAck ack;
  bool first = true;
  for (uint32_t i = 0; i < call.parcels.size(); ++i) {
    if (call.parcels[i].is_pull) continue;
    const wire::SectionReplyHeader& answer = call.progress[i].answer;
    ack.lsn = std::max(ack.lsn, answer.lsn);
    ack.clock = first ? answer.clock : std::min(ack.clock, answer.clock);
    ack.replicas =
        first ? answer.replicas : std::min(ack.replicas, answer.replicas);
    ack.rows_skipped += answer.rows_skipped;
    const auto outcome = static_cast<Outcome>(answer.outcome);
    ack.applied += outcome == Outcome::kApplied;
    ack.accumulated += outcome == Outcome::kAccumulated;
    ack.dropped += outcome == Outcome::kDropped;
    first = false;
  }
  return ack;
}

Status FromAbsl(const absl::Status& status, const std::string& action,
                const std::string& table) {
  if (status.ok()) return Status();
  const Code code = static_cast<Code>(status.code());
  ErrorDetails details;
  const absl::string_view message = status.message();
  details.message = std::string(message.data(), message.size());
  details.action = action;
  details.table = table;
  details.hint = HintFor(code, 0);
  return Status(code, std::move(details));
}

std::string HintFor(Code code, uint32_t reason) {
  switch (static_cast<Reason>(reason)) {
    case Reason::kSessionExpired:
    case Reason::kSessionFenced:
      return "this session is over: connect again";
    case Reason::kNotAMember:
      return "this worker left the job or was silent for longer than its "
             "lease: join again";
    case Reason::kUnknownTable:
      return "the table does not exist any more: create it or open another";
    case Reason::kNonFinite:
      return "look for a NaN or an infinity in the gradients, or create the "
             "table with policy skip-row or clip";
    case Reason::kRows:
      return "the table is full: delete rows, or use more shards";
    case Reason::kStore:
      return "a row cannot be read from its server's disk: check that disk; "
             "with "
             "replicas, stop the server and start it with an empty data "
             "directory";
    default:
      break;
  }
  switch (code) {
    case Code::kInvalidArgument:
    case Code::kOutOfRange:
      return "mend the arguments; sending the same again fails again";
    case Code::kNotFound:
      return "look at `paramo table list` and `paramo job list` for names";
    case Code::kAlreadyExists:
      return "open it as it is, or choose another name";
    case Code::kDeadlineExceeded:
      return "look at `paramo status` for servers that are down and jobs that "
             "wait for workers; a longer deadline helps only with a slow one";
    case Code::kUnavailable:
      return "check the address and that the coordinator and the servers run "
             "(`paramo status`); then try again";
    case Code::kResourceExhausted:
      return "push less at a time, or raise the limit the message names";
    case Code::kFailedPrecondition:
      return "mend what the message names, then try again";
    case Code::kDataLoss:
      return "data was damaged or lost: look at the server's log before going "
             "on";
    case Code::kCancelled:
      return "the call was given up by this process";
    default:
      return "this should not happen: look at the server's log";
  }
}

}  // namespace paramo::client
