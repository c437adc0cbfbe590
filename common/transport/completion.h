// What completion queues hand back: every operation's tag is a Completion.
#pragma once

#include <memory>
#include <utility>

namespace paramo {

class Completion {
 public:
  virtual void Complete(bool ok) = 0;

 protected:
  ~Completion() = default;
};

// One kind of operation of a `T`, at most one outstanding. While it is, it
// keeps its T alive; so a T lives until its last operation has come back,
// whatever else lets go of it.
template <typename T>
class Operation final : public Completion {
 public:
  using Handler = void (T::*)(bool ok);
  explicit Operation(Handler handler) : handler_(handler) {}

  // The tag to give to gRPC.
  void* Start(std::shared_ptr<T> owner) {
    owner_ = std::move(owner);
    return static_cast<Completion*>(this);
  }

  // For an operation that gRPC will never report after all.
  void Abandon() { owner_.reset(); }

  void Complete(bool ok) override {
    const std::shared_ptr<T> owner = std::move(owner_);
    (owner.get()->*handler_)(ok);
  }

 private:
  const Handler handler_;
  std::shared_ptr<T> owner_;
};

}  // namespace paramo
