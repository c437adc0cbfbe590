// A server's data directory: whose it is, who uses it now, and whether the
// last use ended well. Step 0 of a server's start.
//
//   <dir>/PARAMO  identity and clean marker, text with a checksum
//   <dir>/LOCK    held (flock) while a process uses the directory
//   <dir>/rows    RowStore
//   <dir>/meta    MetaStore
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace paramo {

inline constexpr uint32_t kDataFormatVersion = 1;

// Until then a file that was made or renamed in it may be gone after a crash.
absl::Status SyncDirectory(const std::string& dir);

// The content of the file PARAMO; docs/formats/data_dir.md shows one.
struct DataDirFile {
  uint32_t format_version = kDataFormatVersion;
  uint64_t cluster_id = 0;  // 0: not joined a cluster yet
  uint32_t server_id = 0;   // 0: not registered yet
  uint64_t incarnation = 0;
  bool clean = false;
  std::string boot_id;  // of the kernel that ran the last writer

  std::string Format() const;
  // DATA_LOSS: not such a file, or its checksum is wrong.
  static absl::StatusOr<DataDirFile> Parse(absl::string_view text);
};

struct DataDirOptions {
  std::string path;         // made when it does not exist, parents too
  uint64_t cluster_id = 0;  // expected; 0 = whatever the directory says
  uint32_t server_id = 0;   // expected; 0 = whatever the directory says
};

// Owned by the server, opened first and destroyed last. Not thread-safe.
class DataDir {
 public:
  // Takes the lock, checks the identity, and removes the clean marker durably
  // before it returns.
  //
  // Errors: FAILED_PRECONDITION  in use by another process (named); another
  //                              format version, cluster or server; not a
  //                              Paramo directory and not empty
  //         DATA_LOSS            PARAMO is damaged
  //         PERMISSION_DENIED, NOT_FOUND, RESOURCE_EXHAUSTED  the disk
  static absl::StatusOr<std::unique_ptr<DataDir>> Open(
      const DataDirOptions& options);
  ~DataDir();
  DataDir(const DataDir&) = delete;
  DataDir& operator=(const DataDir&) = delete;

  // Draws another incarnation: something that was acknowledged under the old
  // one may be missing. It is kept while there is proof that nothing is: after
  // a clean stop, or when the log has everything.
  absl::Status EndIncarnation();

  // Writes down the identity that the coordinator gave. FAILED_PRECONDITION
  // when the directory has another one.
  absl::Status Adopt(uint64_t cluster_id, uint32_t server_id);

  // The last write of an orderly stop: everything is stored, every store is
  // closed.
  absl::Status MarkClean();

  const std::string& path() const { return path_; }
  uint64_t cluster_id() const { return file_.cluster_id; }
  uint32_t server_id() const { return file_.server_id; }
  uint64_t incarnation() const { return file_.incarnation; }

  // How the last use ended. A directory that has just been made is clean.
  bool last_stop_was_clean() const { return last_stop_was_clean_; }
  // The kernel has not restarted since: what it was handed is still there.
  bool same_boot() const { return same_boot_; }

 private:
  DataDir(std::string path, int lock_fd);
  absl::Status ReadIdentity(const DataDirOptions& options);
  absl::Status WriteFile(const DataDirFile& file);

  const std::string path_;
  const int lock_fd_;
  DataDirFile file_;
  bool last_stop_was_clean_ = true;
  bool same_boot_ = true;
};

}  // namespace paramo
