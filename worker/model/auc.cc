#include <algorithm>

#include "common/base/check.h"
#include "worker/model/sparse_math.h"

namespace paramo {

double Auc(std::vector<std::pair<float, bool>>& scored) {
  std::sort(scored.begin(), scored.end());
  double rank_sum = 0;  // of positives, ranks from 1, ties at their mean
  size_t positives = 0;
  for (size_t begin = 0; begin < scored.size();) {
    size_t end = begin;
    size_t positives_here = 0;
    while (end < scored.size() && scored[end].first == scored[begin].first) {
      positives_here += scored[end++].second;
    }
    rank_sum += static_cast<double>(positives_here) *
                (static_cast<double>(begin + 1 + end) / 2);
    positives += positives_here;
    begin = end;
  }
  const size_t negatives = scored.size() - positives;
  PARAMO_CHECK(positives > 0 && negatives > 0);
  const auto n = static_cast<double>(positives);
  return (rank_sum - n * (n + 1) / 2) / (n * static_cast<double>(negatives));
}

}  // namespace paramo
