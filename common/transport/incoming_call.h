// One request as a server received it, and the way its answer goes back.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/mem/buffer.h"
#include "common/mem/rope.h"

namespace paramo {

enum class DataMethod { kPush, kPull, kPushPull, kStream, kReplicate };

// Where an answer goes: a stream or a unary call. Threads: any. Outlives its
// connection: answers to a peer that is gone are dropped.
class ReplySink {
 public:
  virtual ~ReplySink() = default;
  virtual void Reply(Message reply) = 0;
  virtual void Fail(const absl::Status& status) = 0;
  virtual bool cancelled() const = 0;
  virtual std::string peer() const = 0;
};

// Answered exactly once, by Reply or Fail, from any thread; one at a time. One
// that is destroyed unanswered fails with UNAVAILABLE, so that the peer never
// waits for an answer that cannot come.
class IncomingCall {
 public:
  // `timeout`: what is left of gRPC's own deadline.
  IncomingCall(std::shared_ptr<ReplySink> sink, Rope request, DataMethod method,
               bool first, absl::Duration timeout)
      : sink_(std::move(sink)),
        request_(std::move(request)),
        method_(method),
        first_(first),
        timeout_(timeout) {}
  ~IncomingCall() {
    if (sink_ != nullptr)
      sink_->Fail(absl::UnavailableError(
          "the server dropped the request, as it does when it stops; whether "
          "it was applied is unknown; try again"));
  }
  IncomingCall(const IncomingCall&) = delete;
  IncomingCall& operator=(const IncomingCall&) = delete;

  DataMethod method() const { return method_; }
  // The first message of its stream, which must carry the Hello.
  bool first() const { return first_; }
  // Time that was left when the request arrived; infinite for streams and for
  // unary calls without a deadline.
  absl::Duration timeout() const { return timeout_; }

  const Rope& request() const { return request_; }
  Rope TakeRequest() { return std::exchange(request_, Rope()); }

  // The peer went away or gave up: the answer will be dropped.
  bool cancelled() const { return sink_ == nullptr || sink_->cancelled(); }
  // "ipv4:10.0.0.7:51234", for people.
  std::string peer() const { return sink_ == nullptr ? "" : sink_->peer(); }

  void Reply(Message reply) {
    if (auto sink = std::exchange(sink_, nullptr))
      sink->Reply(std::move(reply));
  }
  // Unary: the status of the call. Stream: ends the whole stream with it, and
  // all its other requests with it, so only for a peer that broke the protocol
  // (a refused Hello, bytes that are not a Request).
  void Fail(const absl::Status& status) {
    if (auto sink = std::exchange(sink_, nullptr)) sink->Fail(status);
  }

 private:
  std::shared_ptr<ReplySink> sink_;  // shared with the connection's own ops
  Rope request_;
  DataMethod method_;
  bool first_;
  absl::Duration timeout_;
};

// Called inline on the completion-queue thread that read the request, requests
// of one stream in the order sent. Must not block.
using DataHandler = std::function<void(std::unique_ptr<IncomingCall>)>;

}  // namespace paramo
