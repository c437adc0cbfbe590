// One watch: a stream to one endpoint at a time, made again from the revision
// after the last event whenever it breaks or falls silent.
//
//   Next:  [open] -> read ... read ------------------> events
//                      | quiet for watch_quiet
//                      v
//                    ask for progress -> read: all is well
//                      | quiet for watch_quiet again
//                      v
//                    close, other endpoint, open
//
// It has no thread: Next turns the stream's completion queue, and between two
// calls gRPC's flow control holds what comes.
#include <grpcpp/support/async_stream.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "server/coordinator/etcd_kv_internal.h"

namespace paramo {
namespace {

using etcdserverpb::WatchRequest;
using etcdserverpb::WatchResponse;

constexpr absl::Duration kReopenPause = absl::Milliseconds(20);

// What a completion is of.
enum Tag : intptr_t { kStart = 1, kWrite, kRead, kFinish };
void* ToTag(Tag tag) { return reinterpret_cast<void*>(tag); }

// One stream with at most one read and one write under way.
class Stream {
 public:
  Stream(EtcdClient& client, EtcdEndpoint& endpoint) : endpoint_(endpoint) {
    client.Prepare(context_);
    stream_ = endpoint.watch->PrepareAsyncWatch(&context_, &queue_);
    stream_->StartCall(ToTag(kStart));
  }
  ~Stream() {
    context_.TryCancel();
    queue_.Shutdown();
    void* tag = nullptr;
    for (bool ok = false; queue_.Next(&tag, &ok);) {
    }
  }

  EtcdEndpoint& endpoint() { return endpoint_; }

  // A response, if one comes before `deadline`; null when none did.
  // Errors: why the stream ended
  absl::StatusOr<std::unique_ptr<WatchResponse>> Read(
      const WatchRequest& create, absl::Time deadline) {
    while (true) {
      void* tag = nullptr;
      bool ok = false;
      if (queue_.AsyncNext(&tag, &ok, absl::ToChronoTime(deadline)) !=
          grpc::CompletionQueue::GOT_EVENT) {
        return std::unique_ptr<WatchResponse>();
      }
      if (!ok) return Ended();
      if (tag == ToTag(kStart)) {
        writing_ = true;
        stream_->Write(create, ToTag(kWrite));
        stream_->Read(&response_, ToTag(kRead));
      } else if (tag == ToTag(kWrite)) {
        writing_ = false;
      } else if (tag == ToTag(kRead)) {
        auto response = std::make_unique<WatchResponse>(std::move(response_));
        response_.Clear();
        stream_->Read(&response_, ToTag(kRead));
        return response;
      }
    }
  }

  // Does nothing while another request is still on its way.
  void AskForProgress() {
    if (writing_) return;
    WatchRequest request;
    request.mutable_progress_request();
    writing_ = true;
    stream_->Write(request, ToTag(kWrite));
  }

 private:
  absl::Status Ended() {
    grpc::Status status;
    context_.TryCancel();  // else a half-open stream may never finish
    stream_->Finish(&status, ToTag(kFinish));
    void* tag = nullptr;
    for (bool ok = false; queue_.Next(&tag, &ok) && tag != ToTag(kFinish);) {
    }
    absl::Status ended = FromEtcd(status, endpoint_);
    if (absl::IsFailedPrecondition(ended)) return ended;
    return absl::UnavailableError(absl::StrCat("watch: ", ended.message()));
  }

  EtcdEndpoint& endpoint_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<WatchRequest, WatchResponse>>
      stream_;
  WatchResponse response_;
  bool writing_ = false;
};

class EtcdWatch final : public KvWatch {
 public:
  EtcdWatch(EtcdClient& client, std::string prefix, size_t strip,
            int64_t from_revision)
      : client_(client),
        prefix_(std::move(prefix)),
        strip_(strip),
        next_(from_revision) {}

  absl::StatusOr<std::vector<KvEvent>> Next(absl::Duration timeout) override {
    const absl::Time deadline = absl::Now() + timeout;
    absl::Status trouble;
    do {
      if (stream_ == nullptr) trouble = Open(deadline);
      if (stream_ != nullptr) {
        auto response = stream_->Read(create_, WakeTime(deadline));
        trouble = response.status();
        if (response.ok() && *response != nullptr) {
          heard_ = absl::Now();
          asked_ = false;
          trouble = Take(**response);
          if (absl::IsOutOfRange(trouble)) return trouble;
          if (trouble.ok() && !whole_.empty()) return std::exchange(whole_, {});
        } else if (response.ok()) {
          trouble = HandleQuiet();
        }
      }
      if (!trouble.ok()) {
        if (stream_ != nullptr) Close();
        absl::SleepFor(std::min(kReopenPause, deadline - absl::Now()));
      }
    } while (absl::Now() < deadline);
    if (absl::IsFailedPrecondition(trouble)) return trouble;
    if (stream_ == nullptr) return absl::UnavailableError(trouble.message());
    return std::vector<KvEvent>();
  }

 private:
  absl::Status Open(absl::Time deadline) {
    // A call with no time left still gets one look at what is there.
    PARAMO_ASSIGN_OR_RETURN(
        EtcdEndpoint * endpoint,
        client_.Connect(std::max(
            deadline, absl::Now() + client_.options().connect_timeout)));
    create_.Clear();
    etcdserverpb::WatchCreateRequest& create =
        *create_.mutable_create_request();
    create.set_key(prefix_);
    create.set_range_end(EtcdPrefixEnd(prefix_));
    create.set_start_revision(next_);
    create.set_fragment(true);
    parts_.clear();
    stream_ = std::make_unique<Stream>(client_, *endpoint);
    heard_ = absl::Now();
    asked_ = false;
    return absl::OkStatus();
  }

  // Perhaps its token was the reason: etcd calls that by several names.
  void Close() {
    client_.Avoid(stream_->endpoint());
    client_.ForgetToken();
    stream_.reset();
  }

  absl::Time WakeTime(absl::Time deadline) const {
    return std::min(deadline, heard_ + client_.options().watch_quiet);
  }

  // Nothing came: ask once, then give the stream up.
  absl::Status HandleQuiet() {
    if (absl::Now() < heard_ + client_.options().watch_quiet) {
      return absl::OkStatus();
    }
    heard_ = absl::Now();  // the next period begins
    if (std::exchange(asked_, true)) {
      return absl::UnavailableError(absl::StrCat(
          "etcd ", stream_->endpoint().address, ": the watch is silent"));
    }
    stream_->AskForProgress();
    return absl::OkStatus();
  }

  // Moves the events of `response` to whole_ once their revision is complete.
  absl::Status Take(const WatchResponse& response) {
    PARAMO_RETURN_IF_ERROR(
        client_.CheckHeader(stream_->endpoint(), response.header()));
    if (response.compact_revision() > 0) {
      return absl::OutOfRangeError(
          absl::StrCat("changes before revision ", response.compact_revision(),
                       " are compacted, ", next_,
                       " was wanted; range again and watch from there"));
    }
    if (response.canceled()) {
      return absl::UnavailableError(
          absl::StrCat("etcd ended the watch: ", response.cancel_reason()));
    }
    for (const etcdserverpb::Event& event : response.events()) {
      KvEvent& part = parts_.emplace_back();
      part.type = event.type() == etcdserverpb::Event::DELETE
                      ? KvEvent::Type::kDelete
                      : KvEvent::Type::kPut;
      part.entry = FromEtcdEntry(event.kv(), strip_);
    }
    if (response.fragment() || parts_.empty()) return absl::OkStatus();
    next_ = parts_.back().entry.mod_revision + 1;
    whole_ = std::exchange(parts_, {});
    return absl::OkStatus();
  }

  EtcdClient& client_;
  const std::string prefix_;
  const size_t strip_;
  int64_t next_;  // revision to continue from
  WatchRequest create_;
  std::unique_ptr<Stream> stream_;
  absl::Time heard_;            // or asked, or opened
  bool asked_ = false;          // for progress, since it was last heard
  std::vector<KvEvent> parts_;  // of a revision that came in fragments
  std::vector<KvEvent> whole_;
};

}  // namespace

std::unique_ptr<KvWatch> MakeEtcdWatch(EtcdClient& client, std::string prefix,
                                       size_t strip, int64_t from_revision) {
  return std::make_unique<EtcdWatch>(client, std::move(prefix), strip,
                                     from_revision);
}

}  // namespace paramo
