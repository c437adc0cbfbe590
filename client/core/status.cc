#include "paramo/status.h"

#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace paramo {
inline namespace sdk {

struct Status::Error {
  Code code;
  ErrorDetails details;
};

namespace {

std::string DataLine(const ErrorDetails& details) {
  std::string counts;
  if (details.sections > 0) {
    counts = absl::StrFormat(" (%d of %d sections accepted)",
                             details.sections_taken, details.sections);
  }
  switch (*details.applied) {
    case Applied::kNo:
      return "not applied, on no shard" + counts;
    case Applied::kYes:
      return "applied" + counts;
    case Applied::kPartly:
      return "applied on some shards, certainly not on the others" + counts;
    case Applied::kUnknown:
      return "unknown: on some shards applied once or not at all, never twice" +
             counts;
  }
  return "";
}

std::string TriedLine(const ErrorDetails& details) {
  std::string line = details.action;
  if (line.empty() && !details.table.empty()) line = "a call";
  if (!details.table.empty() && line.find(details.table) == std::string::npos) {
    absl::StrAppend(&line, " of table ", details.table);
  }
  if (details.shard >= 0) absl::StrAppend(&line, ", shard ", details.shard);
  if (!details.endpoint.empty()) {
    absl::StrAppend(&line, " at ", details.endpoint);
  }
  if (details.attempts > 0) {
    absl::StrAppend(
        &line, ", ", details.attempts,
        details.attempts == 1 ? " attempt" : " attempts",
        absl::StrFormat(" in %.1f s", details.elapsed.count() / 1000.0));
  }
  return line;
}

}  // namespace

const char* CodeName(Code code) {
  switch (code) {
    case Code::kOk:
      return "OK";
    case Code::kCancelled:
      return "CANCELLED";
    case Code::kUnknown:
      return "UNKNOWN";
    case Code::kInvalidArgument:
      return "INVALID_ARGUMENT";
    case Code::kDeadlineExceeded:
      return "DEADLINE_EXCEEDED";
    case Code::kNotFound:
      return "NOT_FOUND";
    case Code::kAlreadyExists:
      return "ALREADY_EXISTS";
    case Code::kPermissionDenied:
      return "PERMISSION_DENIED";
    case Code::kResourceExhausted:
      return "RESOURCE_EXHAUSTED";
    case Code::kFailedPrecondition:
      return "FAILED_PRECONDITION";
    case Code::kAborted:
      return "ABORTED";
    case Code::kOutOfRange:
      return "OUT_OF_RANGE";
    case Code::kUnimplemented:
      return "UNIMPLEMENTED";
    case Code::kInternal:
      return "INTERNAL";
    case Code::kUnavailable:
      return "UNAVAILABLE";
    case Code::kDataLoss:
      return "DATA_LOSS";
    case Code::kUnauthenticated:
      return "UNAUTHENTICATED";
  }
  return "UNKNOWN";
}

Status::Status(Code code, std::string message, std::string hint) {
  ErrorDetails details;
  details.message = std::move(message);
  details.hint = std::move(hint);
  *this = Status(code, std::move(details));
}

Status::Status(Code code, ErrorDetails details) {
  if (code == Code::kOk) return;
  auto error = std::make_shared<Error>();
  error->code = code;
  error->details = std::move(details);
  error_ = std::move(error);
}

Code Status::code() const {
  return error_ == nullptr ? Code::kOk : error_->code;
}

const ErrorDetails& Status::details() const {
  static const ErrorDetails kNone;
  return error_ == nullptr ? kNone : error_->details;
}

std::string Status::ToString() const {
  if (ok()) return "OK";
  std::string text = absl::StrCat(CodeName(code()), ": ", details().message);
  const std::string tried = TriedLine(details());
  if (!tried.empty()) absl::StrAppend(&text, "\n  tried: ", tried);
  if (details().applied.has_value()) {
    absl::StrAppend(&text, "\n  your data: ", DataLine(details()));
  }
  if (!hint().empty()) absl::StrAppend(&text, "\n  fix: ", hint());
  return text;
}

namespace internal {

void DieOnBadResult(const Status& status) {
  std::fprintf(stderr,
               "paramo: a Result was used without looking at ok() first; its "
               "status: %s\n",
               status.ToString().c_str());
  std::abort();
}

}  // namespace internal

}  // namespace sdk
}  // namespace paramo
