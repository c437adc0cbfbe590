#include "worker/data/libsvm.h"

#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "worker/data/indexed_dataset.h"
#include "worker/data/line_reader.h"

namespace paramo {
namespace {

constexpr char kBlanks[] = " \t";

// Walks over the words of one line.
class Words {
 public:
  explicit Words(absl::string_view line) : line_(line) {}

  // The next word; empty at the end of the line or before a comment.
  absl::string_view Next() {
    const size_t begin = line_.find_first_not_of(kBlanks, end_);
    if (begin == absl::string_view::npos || line_[begin] == '#') return {};
    begin_ = begin;
    end_ = std::min(line_.find_first_of(kBlanks, begin), line_.size());
    return line_.substr(begin_, end_ - begin_);
  }
  size_t column() const { return begin_ + 1; }  // of the last word

 private:
  const absl::string_view line_;
  size_t begin_ = 0;
  size_t end_ = 0;
};

std::string Quoted(absl::string_view word) {
  return absl::StrCat("`", Printable(word, 32), "`");
}

absl::StatusOr<uint8_t> ReadLabel(const LineReader& reader, const Words& words,
                                  absl::string_view word) {
  double label = 0;
  // SimpleAtod takes "+1" as well.
  if (absl::SimpleAtod(word, &label)) {
    if (label == 1) return uint8_t{1};
    if (label == -1 || label == 0) return uint8_t{0};
  }
  return reader.Error(words.column(),
                      absl::StrCat("the label is ", Quoted(word),
                                   "; give +1 or -1 (or 1 and 0): this model "
                                   "knows two classes"));
}

absl::Status ReadFeature(const LineReader& reader, const Words& words,
                         absl::string_view word, size_t first,
                         SparseExamples& out) {
  const size_t colon = word.find(':');
  uint64_t feature = 0;
  float value = 0;
  if (colon == absl::string_view::npos ||
      !absl::SimpleAtoi(word.substr(0, colon), &feature)) {
    return reader.Error(
        words.column(),
        absl::StrCat("expected INDEX:VALUE, such as 7:0.5, not ",
                     Quoted(word)));
  }
  if (!absl::SimpleAtof(word.substr(colon + 1), &value) ||
      !std::isfinite(value)) {
    return reader.Error(words.column() + colon + 1,
                        absl::StrCat(Quoted(word.substr(colon + 1)),
                                     " is not a finite number"));
  }
  if (out.features.size() > first && out.features.back() >= feature) {
    return reader.Error(
        words.column(),
        absl::StrCat("index ", feature, " comes after ", out.features.back(),
                     "; the indices of a line must ascend"));
  }
  out.features.push_back(feature);
  out.values.push_back(value);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<LibsvmData> ReadLibsvm(const std::string& file) {
  PARAMO_ASSIGN_OR_RETURN(LineReader reader, LineReader::Open(file));
  LibsvmData data;
  absl::string_view line;
  for (uint64_t number = 0;;) {
    PARAMO_ASSIGN_OR_RETURN(const bool more, reader.Next(line));
    if (!more) break;
    Words words(line);
    absl::string_view word = words.Next();
    if (word.empty()) continue;
    SparseExamples& out = IsHeldOut(number++) ? data.held_out : data.train;
    PARAMO_ASSIGN_OR_RETURN(const uint8_t label,
                            ReadLabel(reader, words, word));
    const size_t first = out.features.size();
    for (word = words.Next(); !word.empty(); word = words.Next()) {
      PARAMO_RETURN_IF_ERROR(ReadFeature(reader, words, word, first, out));
    }
    out.labels.push_back(label);
    out.offsets.push_back(out.features.size());
  }
  if (data.train.size() == 0 || data.held_out.size() == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        file, ": holds ", data.train.size() + data.held_out.size(),
        " examples, too few to train on and to hold one of twenty out"));
  }
  return data;
}

}  // namespace paramo
