// A disk in memory for the log: loses what was not synced, tears writes, flips
// bits, fails syncs, runs full. What a power loss leaves depends on a seed.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "common/base/random.h"
#include "server/log/disk.h"

namespace paramo {

class MemoryDisk final : public LogDisk {
 public:
  absl::Status MakeDirectory(const std::string& dir) override;
  absl::StatusOr<std::vector<std::string>> List(
      const std::string& dir) override;
  absl::StatusOr<std::unique_ptr<LogFile>> Create(
      const std::string& dir, const std::string& name) override;
  absl::StatusOr<std::unique_ptr<LogFile>> Open(
      const std::string& dir, const std::string& name) override;
  absl::StatusOr<LogFileBytes> Map(const std::string& dir,
                                   const std::string& name) override;
  absl::Status Rename(const std::string& dir, const std::string& from,
                      const std::string& to) override;
  absl::Status Remove(const std::string& dir, const std::string& name) override;
  absl::Status SyncDirectory(const std::string& dir) override;

  // What is left when the machine loses power now: of what was not synced any
  // 512-byte page may be there, be zeros, or be noise, and the size may be
  // the old one. This disk goes on as if nothing had been.
  std::map<std::string, std::string> AfterPowerLoss(BitGen& gen) const;

  // The one directory's files, as a test sees and edits them.
  std::vector<std::string> Names() const;
  std::string Bytes(const std::string& name) const;
  void Put(const std::string& name, std::string bytes);  // makes it, synced
  void Erase(const std::string& name);
  void Flip(const std::string& name, size_t byte, int bit);

  void set_capacity(size_t bytes);  // of all files; appends beyond fail
  void FailSyncs();                 // from now on
  void FailRemoves(bool fail);
  void Hold();                     // appends wait
  void WaitForHeld();              // until one does
  void HoldSyncs();                // what is appended meanwhile is not in them
  void Go();                       // no longer
  size_t syncs() const;            // tried, of files
  void WaitForSync(size_t tried);  // until so many have begun

 private:
  friend class MemoryFile;
  struct Inode {
    std::string bytes;
    std::string synced;
  };
  using Directory = std::map<std::string, std::shared_ptr<Inode>>;

  absl::StatusOr<std::shared_ptr<Inode>> Find(const std::string& name) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  size_t Used() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable Mutex mu_;
  CondVar go_;
  Directory files_ ABSL_GUARDED_BY(mu_);
  Directory synced_files_ ABSL_GUARDED_BY(mu_);
  size_t capacity_ ABSL_GUARDED_BY(mu_) = ~size_t{0};
  bool fail_syncs_ ABSL_GUARDED_BY(mu_) = false;
  bool fail_removes_ ABSL_GUARDED_BY(mu_) = false;
  bool held_ ABSL_GUARDED_BY(mu_) = false;
  bool waits_ ABSL_GUARDED_BY(mu_) = false;  // an append, for Go
  bool syncs_held_ ABSL_GUARDED_BY(mu_) = false;
  size_t syncs_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace paramo
