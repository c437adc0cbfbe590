#include <algorithm>
#include <utility>

#include "common/base/status.h"
#include "worker/step/client_status.h"
#include "worker/step/step_work.h"
#include "worker/step/weights_file.h"

namespace paramo {
namespace {

// Floats fetched at once for an evaluation: 4 MiB, one message to each server.
constexpr size_t kFetchFloats = size_t{1} << 20;

TableSpec TableSpecOf(const JobFile& file, const SparseTable& table,
                      size_t index) {
  TableSpec spec = file.SpecOf(table.name, index);
  spec.dim = static_cast<uint32_t>(table.dim);
  if (table.uniform > 0) {
    spec.initializer.kind = Initializer::Kind::kUniform;
    spec.initializer.a = table.uniform;
  }
  return spec;
}

// Buffers and parts of one side.
struct Side {
  SparseStep step;
  std::vector<std::vector<float>> rows;       // by table
  std::vector<std::vector<float>> gradients;  // by table
  std::vector<PullPart> pull_parts;
  std::vector<PushPart> push_parts;
};

class SparseWork final : public StepWork {
 public:
  explicit SparseWork(Workload& work)
      : model_(*work.sparse), job_(work.job), all_(model_.tables().size()) {
    for (Side& side : sides_) {
      side.rows.resize(all_.size());
      side.gradients.resize(all_.size());
    }
  }

  absl::Status Open(Cluster& cluster) override {
    const std::vector<SparseTable>& tables = model_.tables();
    for (size_t t = 0; t < tables.size(); ++t) {
      Result<Table> table =
          cluster.CreateTable(TableSpecOf(job_, tables[t], t));
      if (!table.ok()) return FromClient(table.status());
      tables_.push_back(*std::move(table));
    }
    probe_.resize(tables.back().dim);
    probe_parts_.emplace_back(
        tables_.back(), std::span<const uint64_t>(tables.back().keys.data(), 1),
        std::span<float>(probe_));
    return absl::OkStatus();
  }

  bool pulls_ahead() const override { return false; }

  void Prepare(const Batch& batch, int side) override {
    Side& s = sides_[side];
    model_.Prepare(batch, s.step);
    s.pull_parts.clear();
    s.push_parts.clear();
    for (size_t t = 0; t < tables_.size(); ++t) {
      const std::span<const uint64_t> keys(s.step.parts[t].keys);
      const size_t floats = keys.size() * tables_[t].dim();
      s.rows[t].resize(floats);
      s.gradients[t].resize(floats);
      if (keys.empty()) continue;
      s.pull_parts.emplace_back(tables_[t], keys, std::span<float>(s.rows[t]));
      s.push_parts.emplace_back(tables_[t], keys,
                                std::span<const float>(s.gradients[t]));
    }
  }
  const std::vector<PullPart>& PullParts(int side) override {
    return sides_[side].pull_parts;
  }
  double Gradients(const Batch& batch, uint64_t, int side) override {
    Side& s = sides_[side];
    const std::vector<absl::Span<const float>> rows(s.rows.begin(),
                                                    s.rows.end());
    std::vector<absl::Span<float>> gradients;
    for (auto& gradient : s.gradients) {
      gradients.push_back(absl::MakeSpan(gradient));
    }
    return model_.Gradients(batch, s.step, rows, gradients);
  }
  const std::vector<PushPart>& PushParts(int side) override {
    return sides_[side].push_parts;
  }
  const std::vector<PullPart>& ProbeParts() override { return probe_parts_; }

  absl::StatusOr<double> Evaluate() override {
    PARAMO_RETURN_IF_ERROR(FetchAll());
    const std::vector<absl::Span<const float>> rows(all_.begin(), all_.end());
    return model_.HeldOutAuc(rows);
  }
  absl::Status Save(const std::string& file) override {
    const std::vector<absl::Span<const float>> rows(all_.begin(), all_.end());
    return SaveRows(file, model_, rows);
  }

 private:
  // Every row as it is now: not at a clock, so nobody is waited for.
  absl::Status FetchAll() {
    for (size_t t = 0; t < tables_.size(); ++t) {
      const size_t dim = tables_[t].dim();
      const std::span<const uint64_t> keys(model_.tables()[t].keys);
      all_[t].resize(keys.size() * dim);
      const std::span<float> rows(all_[t]);
      const size_t step = std::max<size_t>(1, kFetchFloats / dim);
      for (size_t at = 0; at < keys.size(); at += step) {
        const size_t count = std::min(step, keys.size() - at);
        PARAMO_RETURN_IF_ERROR(FromClient(tables_[t].Pull(
            keys.subspan(at, count), rows.subspan(at * dim, count * dim))));
      }
    }
    return absl::OkStatus();
  }

  SparseModel& model_;
  const JobFile& job_;
  std::vector<Table> tables_;  // as SparseModel::tables()
  Side sides_[2];
  std::vector<std::vector<float>> all_;  // whole tables, of the last Evaluate
  std::vector<float> probe_;             // of one row, unused
  std::vector<PullPart> probe_parts_;
};

}  // namespace

std::unique_ptr<StepWork> MakeSparseWork(Workload& work) {
  return std::make_unique<SparseWork>(work);
}

}  // namespace paramo
