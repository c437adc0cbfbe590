// What a bench measures, and the rounds in which it is measured.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tests/bench/figures.h"

namespace paramo::bench {

// Something that can be run again and again: a case, or a floor.
struct Subject {
  std::string name;
  // Runs for about `time`; what it needs is there already.
  std::function<absl::StatusOr<Sample>(absl::Duration time)> run;
  bool leaves_work = false;  // that its processes do afterwards
};

// Subjects run in the order in which they were added, so put a floor behind its
// case.
class Plan {
 public:
  // Returns its number, for Line.
  size_t Add(Subject subject) {
    subjects_.push_back(std::move(subject));
    return subjects_.size() - 1;
  }
  // A row of the result. `line.name` empty: the subject's.
  void Show(Line line);
  // The same against a floor.
  void Compare(size_t subject, size_t floor, Unit unit, Target target = {},
               std::string explained_in = "");

  const std::vector<Subject>& subjects() const { return subjects_; }
  const std::vector<Line>& lines() const { return lines_; }

 private:
  std::vector<Subject> subjects_;
  std::vector<Line> lines_;
};

struct Rounds {
  int count = 5;
  absl::Duration time = absl::Seconds(1);             // of one run
  std::function<void(int round)> begin = [](int) {};  // of each round
  // Runs a subject when its turn has come; sees whether others used the machine
  // meanwhile. Errors: CANCELLED  interrupted
  std::function<absl::StatusOr<Sample>(const Subject&, absl::Duration time)>
      run;
};

// All subjects once, then all once more, and so on: what disturbs the machine
// for a while hits a case and its floor alike.
absl::StatusOr<std::vector<Row>> Measure(const Plan& plan,
                                         const Rounds& rounds);

}  // namespace paramo::bench
