// Opening: what is there is read, checked and synced, and a new segment begins
// behind it.
#include <algorithm>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "server/log/log.h"
#include "server/log/recovery_builder.h"
#include "server/log/scan.h"

namespace paramo {
namespace {

// Segments by number; unfinished ones are removed, strangers refused.
absl::StatusOr<std::vector<SegmentName>> ListSegments(LogDisk& disk,
                                                      const std::string& dir) {
  std::vector<SegmentName> segments;
  PARAMO_ASSIGN_OR_RETURN(auto names, disk.List(dir));
  for (const std::string& name : names) {
    if (auto segment = SegmentName::Parse(name)) {
      segments.push_back(*segment);
    } else if (absl::EndsWith(name, kUnfinishedSuffix) &&
               SegmentName::Parse(absl::StripSuffix(name, kUnfinishedSuffix))) {
      PARAMO_RETURN_IF_ERROR(disk.Remove(dir, name));
    } else if (name != "lost+found") {
      return absl::FailedPreconditionError(
          absl::StrCat(dir, " has ", Printable(name),
                       ", which is not of the log; move it elsewhere"));
    }
  }
  std::sort(segments.begin(), segments.end(),
            [](const SegmentName& a, const SegmentName& b) {
              return a.number < b.number;
            });
  return segments;
}

absl::Status CheckOwner(const SegmentHeader& header,
                        const LogOptions& options) {
  if (options.cluster_id != 0 && header.cluster_id != 0 &&
      header.cluster_id != options.cluster_id) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "belongs to cluster %016x, not to %016x; check the path, or give an "
        "empty directory",
        header.cluster_id, options.cluster_id));
  }
  if (options.server_id != 0 && header.server_id != 0 &&
      header.server_id != options.server_id) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "belongs to server %u, not to %u; every server has a log of its own: "
        "check the path, or give an empty directory",
        header.server_id, options.server_id));
  }
  return absl::OkStatus();
}

// A kernel that does not tell its id has always restarted. The writer of a
// segment whose header is damaged counts as of this boot: nothing is cut.
bool IsSameBoot(const SegmentScan& scan, const std::string& boot_id) {
  if (!scan.header_is_good) return true;
  const absl::string_view written(
      scan.header.boot_id,
      strnlen(scan.header.boot_id, sizeof(scan.header.boot_id)));
  return written == boot_id && boot_id != "unknown";
}

}  // namespace

Log::Log(LogOptions options)
    : options_(std::move(options)),
      disk_(options_.disk != nullptr ? *options_.disk : PosixLogDisk()) {
  MutexLock lock(mu_);
  released_ = options_.released;
}

absl::StatusOr<std::unique_ptr<Log>> Log::Open(LogOptions options) {
  if (options.boot_id.empty()) options.boot_id = KernelBootId();
  std::unique_ptr<Log> log(new Log(std::move(options)));
  PARAMO_RETURN_IF_ERROR(log->CheckOptions());
  PARAMO_RETURN_IF_ERROR(log->Recover());
  PARAMO_RETURN_IF_ERROR(log->OpenSegment());
  return log;
}

absl::Status Log::CheckOptions() const {
  if (options_.segment_bytes < kLogSegmentBytesMin) {
    return absl::InvalidArgumentError(
        absl::StrCat("a log segment has at least ", kLogSegmentBytesMin,
                     " bytes, not ", options_.segment_bytes));
  }
  if (options_.buffer_bytes == 0 ||
      options_.buffer_bytes > kLogBufferBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("the log's buffer has 1 to ", kLogBufferBytesMax,
                     " bytes, not ", options_.buffer_bytes));
  }
  if (options_.boot_id.size() > sizeof(SegmentHeader::boot_id)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a boot id has at most ", sizeof(SegmentHeader::boot_id), " bytes"));
  }
  return disk_.MakeDirectory(options_.path);
}

absl::Status Log::Recover() {
  PARAMO_ASSIGN_OR_RETURN(auto names, ListSegments(disk_, options_.path));
  MutexLock lock(mu_);  // nobody else is there yet
  LogRecoveryBuilder builder(options_.released, index_);
  for (size_t i = 0; i < names.size(); ++i) {
    const SegmentName& name = names[i];
    const bool last = i + 1 == names.size();
    const std::string file = name.Format();
    const auto path = [&] { return absl::StrCat(options_.path, "/", file); };
    PARAMO_ASSIGN_OR_RETURN(auto bytes, disk_.Map(options_.path, file));
    auto scan = ScanSegment(name, bytes.bytes,
                            last || names[i + 1].number != name.number + 1
                                ? kNoEnd
                                : names[i + 1].first_position);
    if (!scan.ok()) return Annotate(scan.status(), path());
    if (scan->header_is_good) {
      const absl::Status owner = CheckOwner(scan->header, options_);
      if (!owner.ok()) return Annotate(owner, path());
    }
    PARAMO_ASSIGN_OR_RETURN(auto opened, disk_.Open(options_.path, file));
    // What a killed process wrote, the kernel has; the disk perhaps not.
    if (last) PARAMO_RETURN_IF_ERROR(opened->Sync());
    index_.AddSegment(name, std::move(opened));
    builder.Keep(bytes);
    if (last) {
      builder.AddLast(name, *scan, IsSameBoot(*scan, options_.boot_id));
    } else {
      builder.AddSynced(name, *scan);
      if (names[i + 1].number != name.number + 1) {
        builder.AddMissing({scan->end, names[i + 1].first_position});
      }
    }
  }
  recovery_ = builder.Finish();
  position_ = recovery_->position();
  segment_.number = names.empty() ? 0 : names.back().number;
  for (const ShardId shard : recovery_->shards()) {
    const LogShardRecords& records = recovery_->Shard(shard);
    chains_[shard] = {records.last_lsn, records.last_crc, !records.damage.ok()};
  }
  return absl::OkStatus();
}

// Under a temporary name until it is synced, so that a segment that is there
// has a header; the directory is synced before anything is appended, so that
// it stays there.
absl::Status Log::OpenSegment() {
  SegmentHeader header;
  header.cluster_id = options_.cluster_id;
  header.server_id = options_.server_id;
  header.incarnation = options_.incarnation;
  header.number = segment_.number + 1;
  header.first_position = position_;
  std::copy(options_.boot_id.begin(), options_.boot_id.end(), header.boot_id);
  Seal(header);

  const SegmentName name = {header.number, header.first_position};
  const std::string unfinished = absl::StrCat(name.Format(), kUnfinishedSuffix);
  PARAMO_ASSIGN_OR_RETURN(auto created,
                          disk_.Create(options_.path, unfinished));
  const iovec bytes = {&header, sizeof(header)};
  PARAMO_RETURN_IF_ERROR(created->Append({&bytes, 1}));
  PARAMO_RETURN_IF_ERROR(created->Sync());
  PARAMO_RETURN_IF_ERROR(
      disk_.Rename(options_.path, unfinished, name.Format()));
  PARAMO_RETURN_IF_ERROR(disk_.SyncDirectory(options_.path));

  MutexLock lock(mu_);
  segment_ = {name.number, name.first_position, header.crc32c,
              std::move(created)};
  position_ += sizeof(header);
  index_.AddSegment(name, segment_.file);
  stats_.position = position_;
  stats_.durable = position_;
  return absl::OkStatus();
}

std::unique_ptr<LogRecovery> Log::TakeRecovery() {
  return std::move(recovery_);
}

}  // namespace paramo
