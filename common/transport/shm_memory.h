// Memory that two processes share, and the directory in which they meet.
#pragma once

#include <sys/un.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/descriptor.h"

namespace paramo {

// A memfd, mapped whole. Its size is sealed: whatever the other side does with
// its descriptor, no access here meets a page that is gone.
class SharedMemory {
 public:
  // Errors: of the kernel
  static absl::StatusOr<std::unique_ptr<SharedMemory>> Make(size_t bytes);
  // Maps what somebody else has made.
  // Errors: FAILED_PRECONDITION  it is of another size or user, or not sealed
  //         others               of the kernel
  static absl::StatusOr<std::unique_ptr<SharedMemory>> Adopt(Descriptor memory,
                                                             size_t bytes);
  ~SharedMemory();
  // Has the kernel find the pages of this range now. It does so at the first
  // access otherwise, and where it then has none left it kills who made that.
  // Errors: of the kernel; nothing has changed
  absl::Status Reserve(size_t offset, size_t bytes) const;
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  int descriptor() const { return descriptor_.get(); }

 private:
  SharedMemory(Descriptor descriptor, uint8_t* data, size_t size)
      : descriptor_(std::move(descriptor)), data_(data), size_(size) {}
  static absl::StatusOr<std::unique_ptr<SharedMemory>> Map(Descriptor memory,
                                                           size_t bytes);

  Descriptor descriptor_;
  uint8_t* data_;
  size_t size_;
};

// An open directory of this user's that nobody else may enter.
// Errors: FAILED_PRECONDITION  it is something else
//         others               of the kernel
absl::StatusOr<Descriptor> OpenPrivateDirectory(const std::string& path);

// The socket in it, by a name that is short enough whatever the path.
sockaddr_un LaneSocket(const Descriptor& directory);
inline constexpr char kLaneSocketName[] = "lanes";

// What a server says with the memory's descriptor to who connects there.
struct LaneGrant {
  uint64_t token;  // as the server's Hello has it
  uint64_t lane;   // names the lane in requests
  uint64_t bytes;  // of the memory
};

}  // namespace paramo
