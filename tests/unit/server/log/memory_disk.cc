#include "tests/unit/server/log/memory_disk.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace paramo {

constexpr size_t kPageBytes = 512;

class MemoryFile final : public LogFile {
 public:
  MemoryFile(MemoryDisk& disk, std::shared_ptr<MemoryDisk::Inode> inode)
      : disk_(disk), inode_(std::move(inode)) {}

  absl::Status Append(absl::Span<const iovec> pieces) override {
    MutexLock lock(disk_.mu_);
    while (disk_.held_) {
      disk_.waits_ = true;
      disk_.go_.NotifyAll();
      disk_.go_.Wait(disk_.mu_);
    }
    for (const iovec& piece : pieces) {
      const size_t room =
          disk_.capacity_ - std::min(disk_.capacity_, disk_.Used());
      const size_t part = std::min(room, piece.iov_len);
      inode_->bytes.append(static_cast<const char*>(piece.iov_base), part);
      if (part < piece.iov_len) {
        return absl::ResourceExhaustedError("No space left on device");
      }
    }
    return absl::OkStatus();
  }

  absl::Status Sync() override {
    MutexLock lock(disk_.mu_);
    ++disk_.syncs_;
    disk_.go_.NotifyAll();
    std::string bytes = inode_->bytes;
    while (disk_.syncs_held_) disk_.go_.Wait(disk_.mu_);
    if (disk_.fail_syncs_) return absl::DataLossError("fsync: input/output");
    inode_->synced = std::move(bytes);
    return absl::OkStatus();
  }

  absl::Status Read(uint64_t offset, size_t size, void* out) const override {
    MutexLock lock(disk_.mu_);
    if (offset + size > inode_->bytes.size()) {
      return absl::DataLossError("the file is short");
    }
    std::copy_n(inode_->bytes.data() + offset, size, static_cast<char*>(out));
    return absl::OkStatus();
  }

 private:
  MemoryDisk& disk_;
  const std::shared_ptr<MemoryDisk::Inode> inode_;
};

absl::Status MemoryDisk::MakeDirectory(const std::string&) {
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> MemoryDisk::List(const std::string&) {
  return Names();
}

absl::StatusOr<std::shared_ptr<MemoryDisk::Inode>> MemoryDisk::Find(
    const std::string& name) const {
  const auto found = files_.find(name);
  if (found == files_.end()) return absl::NotFoundError(name);
  return found->second;
}

size_t MemoryDisk::Used() const {
  size_t bytes = 0;
  for (const auto& [name, inode] : files_) bytes += inode->bytes.size();
  return bytes;
}

absl::StatusOr<std::unique_ptr<LogFile>> MemoryDisk::Create(
    const std::string&, const std::string& name) {
  MutexLock lock(mu_);
  auto& inode = files_[name];
  if (inode != nullptr) return absl::AlreadyExistsError(name);
  inode = std::make_shared<Inode>();
  return std::make_unique<MemoryFile>(*this, inode);
}

absl::StatusOr<std::unique_ptr<LogFile>> MemoryDisk::Open(
    const std::string&, const std::string& name) {
  MutexLock lock(mu_);
  auto inode = Find(name);
  if (!inode.ok()) return inode.status();
  return std::make_unique<MemoryFile>(*this, *inode);
}

absl::StatusOr<LogFileBytes> MemoryDisk::Map(const std::string&,
                                             const std::string& name) {
  MutexLock lock(mu_);
  auto inode = Find(name);
  if (!inode.ok()) return inode.status();
  auto copy = std::make_shared<const std::string>((*inode)->bytes);
  LogFileBytes bytes;
  bytes.bytes = {reinterpret_cast<const uint8_t*>(copy->data()), copy->size()};
  bytes.owner = copy;
  return bytes;
}

absl::Status MemoryDisk::Rename(const std::string&, const std::string& from,
                                const std::string& to) {
  MutexLock lock(mu_);
  auto inode = Find(from);
  if (!inode.ok()) return inode.status();
  files_[to] = *inode;
  files_.erase(from);
  return absl::OkStatus();
}

absl::Status MemoryDisk::Remove(const std::string&, const std::string& name) {
  MutexLock lock(mu_);
  if (fail_removes_) return absl::PermissionDeniedError(name);
  return files_.erase(name) > 0 ? absl::OkStatus() : absl::NotFoundError(name);
}

absl::Status MemoryDisk::SyncDirectory(const std::string&) {
  MutexLock lock(mu_);
  synced_files_ = files_;
  return absl::OkStatus();
}

std::map<std::string, std::string> MemoryDisk::AfterPowerLoss(
    BitGen& gen) const {
  MutexLock lock(mu_);
  std::map<std::string, std::string> left;
  for (const auto& [name, inode] : gen.Below(2) == 0 ? synced_files_ : files_) {
    std::string bytes = inode->bytes;
    const size_t kept = inode->synced.size();
    bytes.resize(kept + gen.Below(bytes.size() - kept + 1));
    for (size_t page = kept; page < bytes.size();) {
      const size_t end =
          std::min(bytes.size(), (page / kPageBytes + 1) * kPageBytes);
      const uint64_t fate = gen.Below(4);  // half of the pages are there
      for (size_t i = page; i < end && fate < 2; ++i) {
        bytes[i] = fate == 0 ? '\0' : static_cast<char>(gen.Next());
      }
      page = end;
    }
    left[name] = std::move(bytes);
  }
  return left;
}

std::vector<std::string> MemoryDisk::Names() const {
  MutexLock lock(mu_);
  std::vector<std::string> names;
  for (const auto& [name, inode] : files_) names.push_back(name);
  return names;
}

std::string MemoryDisk::Bytes(const std::string& name) const {
  MutexLock lock(mu_);
  return files_.at(name)->bytes;
}

void MemoryDisk::Put(const std::string& name, std::string bytes) {
  MutexLock lock(mu_);
  auto inode = std::make_shared<Inode>();
  inode->synced = bytes;
  inode->bytes = std::move(bytes);
  files_[name] = inode;
  synced_files_ = files_;
}

void MemoryDisk::Erase(const std::string& name) {
  MutexLock lock(mu_);
  files_.erase(name);
  synced_files_ = files_;
}

void MemoryDisk::Flip(const std::string& name, size_t byte, int bit) {
  MutexLock lock(mu_);
  files_.at(name)->bytes.at(byte) ^= static_cast<char>(1 << bit);
}

void MemoryDisk::set_capacity(size_t bytes) {
  MutexLock lock(mu_);
  capacity_ = bytes;
}

void MemoryDisk::FailSyncs() {
  MutexLock lock(mu_);
  fail_syncs_ = true;
}

void MemoryDisk::FailRemoves(bool fail) {
  MutexLock lock(mu_);
  fail_removes_ = fail;
}

void MemoryDisk::Hold() {
  MutexLock lock(mu_);
  held_ = true;
}

void MemoryDisk::WaitForHeld() {
  MutexLock lock(mu_);
  while (!waits_) go_.Wait(mu_);
}

void MemoryDisk::HoldSyncs() {
  MutexLock lock(mu_);
  syncs_held_ = true;
}

void MemoryDisk::Go() {
  MutexLock lock(mu_);
  held_ = syncs_held_ = waits_ = false;
  go_.NotifyAll();
}

void MemoryDisk::WaitForSync(size_t tried) {
  MutexLock lock(mu_);
  while (syncs_ < tried) go_.Wait(mu_);
}

size_t MemoryDisk::syncs() const {
  MutexLock lock(mu_);
  return syncs_;
}

}  // namespace paramo
