#include "tests/bench/plan.h"

#include "common/base/status.h"

namespace paramo::bench {

void Plan::Show(Line line) {
  if (line.name.empty()) line.name = subjects_[line.subject].name;
  lines_.push_back(std::move(line));
}

void Plan::Compare(size_t subject, size_t floor, Unit unit, Target target,
                   std::string explained_in) {
  Line line;
  line.unit = unit;
  line.subject = subject;
  line.floor = static_cast<int>(floor);
  line.target = std::move(target);
  line.explained_in = std::move(explained_in);
  Show(std::move(line));
}

absl::StatusOr<std::vector<Row>> Measure(const Plan& plan,
                                         const Rounds& rounds) {
  std::vector<std::vector<Sample>> samples(plan.subjects().size());
  for (int round = 0; round < rounds.count; ++round) {
    rounds.begin(round);
    for (size_t i = 0; i < samples.size(); ++i) {
      const Subject& subject = plan.subjects()[i];
      auto sample = rounds.run(subject, rounds.time);
      if (!sample.ok()) return Annotate(sample.status(), subject.name);
      samples[i].push_back(*sample);
    }
  }
  std::vector<Row> rows;
  for (const Line& line : plan.lines()) {
    const bool has_floor = line.floor >= 0;
    const auto floor = static_cast<size_t>(has_floor ? line.floor : 0);
    rows.push_back(
        MakeRow(line, samples[line.subject],
                has_floor ? samples[floor] : absl::Span<const Sample>(),
                has_floor ? plan.subjects()[floor].name : ""));
  }
  return rows;
}

}  // namespace paramo::bench
