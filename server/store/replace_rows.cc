#include "server/store/replace_rows.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "server/store/data_dir.h"

namespace paramo {
namespace {

namespace fs = std::filesystem;

std::string RowsIn(const std::string& dir) {
  return absl::StrCat(dir, "/rows");
}

std::string UnfinishedIn(const std::string& dir) {
  return absl::StrCat(dir, "/rows.unfinished");
}

std::string NewIn(const std::string& dir) {
  return absl::StrCat(dir, "/rows.new");
}

// The first name of its kind that nothing has.
std::string AsideIn(const std::string& dir) {
  for (int number = 1;; ++number) {
    const std::string path = absl::StrCat(dir, "/rows.damaged-", number);
    std::error_code error;
    if (!fs::exists(path, error)) return path;
  }
}

absl::Status Rename(const std::string& from, const std::string& to,
                    const std::string& data_dir) {
  std::error_code error;
  fs::rename(from, to, error);
  if (!error) return SyncDirectory(data_dir);
  return ErrnoStatus(error.value(),
                     absl::StrCat("renaming ", from, " to ", to));
}

}  // namespace

absl::StatusOr<std::string> PrepareNewRows(const std::string& data_dir) {
  const std::string unfinished = UnfinishedIn(data_dir);
  std::error_code error;
  for (const std::string& left : {unfinished, NewIn(data_dir)}) {
    fs::remove_all(left, error);
    if (error) return ErrnoStatus(error.value(), "removing " + left);
  }
  fs::create_directories(unfinished, error);
  if (error) return ErrnoStatus(error.value(), "making " + unfinished);
  return unfinished;
}

absl::StatusOr<std::string> ReplaceRows(const std::string& data_dir) {
  const std::string unfinished = UnfinishedIn(data_dir);
  const std::string aside = AsideIn(data_dir);
  PARAMO_RETURN_IF_ERROR(Rename(RowsIn(unfinished), NewIn(data_dir), data_dir));
  PARAMO_RETURN_IF_ERROR(Rename(RowsIn(data_dir), aside, data_dir));
  PARAMO_RETURN_IF_ERROR(Rename(NewIn(data_dir), RowsIn(data_dir), data_dir));
  std::error_code ignored;  // nothing of use is in it
  fs::remove_all(unfinished, ignored);
  return aside;
}

absl::Status FinishReplacingRows(const std::string& data_dir) {
  std::error_code error;
  if (fs::exists(RowsIn(data_dir), error) ||
      !fs::exists(NewIn(data_dir), error)) {
    return absl::OkStatus();
  }
  return Rename(NewIn(data_dir), RowsIn(data_dir), data_dir);
}

}  // namespace paramo
