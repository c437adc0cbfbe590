// What went wrong, said so that one can act on it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

// Public names live in an inline namespace, so that a program that also links
// Paramo's own libraries never confuses them with names inside the servers.
namespace paramo {
inline namespace sdk {

// The numbers and meanings of gRPC's codes.
enum class Code {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,   // the caller's mistake; do not retry
  kDeadlineExceeded = 4,  // see Status::applied()
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,   // a limit; back off
  kFailedPrecondition = 9,  // wrong state; mend that first
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,     // a bug of Paramo
  kUnavailable = 14,  // transient
  kDataLoss = 15,
  kUnauthenticated = 16,
};

// "NOT_FOUND", ...
const char* CodeName(Code code);

// What became of the data of a push that failed.
enum class Applied {
  kNo,       // certainly not applied, on any shard
  kYes,      // everywhere
  kPartly,   // on some shards; on the others certainly not
  kUnknown,  // on some shard 0 or 1 times, never twice
};

// What an error knows besides its code. Empty and -1 where it does not apply.
struct ErrorDetails {
  std::string message;  // what is wrong
  std::string action;   // "push", "pull", "create table", ...
  std::string table;
  int64_t shard = -1;
  std::string endpoint;  // host:port that was asked last
  int attempts = 0;
  std::chrono::milliseconds elapsed{0};
  std::optional<Applied> applied;  // pushes only
  int sections = 0;                // of a push: one per table and shard
  int sections_taken = 0;          // that the servers have accepted
  std::string hint;                // what to do about it
  // The server's own word for why it refused, "session_expired", ...
  // (Reason of data.proto); empty when no server did.
  std::string reason;
};

// The outcome of a call. OK costs nothing; copies share the details.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message, std::string hint = "");
  Status(Code code, ErrorDetails details);

  bool ok() const { return error_ == nullptr; }
  Code code() const;
  const std::string& message() const { return details().message; }
  const std::string& table() const { return details().table; }
  int64_t shard() const { return details().shard; }
  const std::string& endpoint() const { return details().endpoint; }
  int attempts() const { return details().attempts; }
  std::chrono::milliseconds elapsed() const { return details().elapsed; }
  std::optional<Applied> applied() const { return details().applied; }
  const std::string& hint() const { return details().hint; }
  const ErrorDetails& details() const;

  // "OK", or up to four lines: what is wrong, what was tried, what became of
  // your data, what to do. Lines with nothing to say are left out.
  std::string ToString() const;

 private:
  struct Error;
  std::shared_ptr<const Error> error_;  // shared by all copies; null = OK
};

// A value, or why there is none. Reading the value of a failed Result prints
// the status and aborts: look at ok() first.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}
  Result(Status status) : status_(std::move(status)) { CheckNotOk(status_); }

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }

  T& value() & { return CheckOk(), *value_; }
  const T& value() const& { return CheckOk(), *value_; }
  T&& value() && { return CheckOk(), *std::move(value_); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  void CheckOk() const;
  static void CheckNotOk(const Status& status);

  Status status_;
  std::optional<T> value_;
};

namespace internal {
[[noreturn]] void DieOnBadResult(const Status& status);
}

template <typename T>
void Result<T>::CheckOk() const {
  if (!value_.has_value()) internal::DieOnBadResult(status_);
}

template <typename T>
void Result<T>::CheckNotOk(const Status& status) {
  if (status.ok()) internal::DieOnBadResult(status);
}

}  // namespace sdk
}  // namespace paramo
