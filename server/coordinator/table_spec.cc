#include "server/coordinator/table_spec.h"

#include <cfloat>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/codec/codec.h"
#include "paramo/v1/cluster.pb.h"
#include "server/coordinator/validate.h"

namespace paramo {
namespace {

absl::Status ValidateTensor(const v1::Tensor& tensor, uint32_t dim) {
  PARAMO_RETURN_IF_ERROR(ValidateRange("tensor.shape's rank",
                                       tensor.shape_size(), 1, kTensorRankMax));
  // The last block may be partly unused, hence the division rounds up.
  const uint64_t elements_max = kRowsPerShardTableMax * dim;
  uint64_t elements = 1;
  for (uint64_t size : tensor.shape()) {
    if (size == 0 || size > elements_max / elements) {
      return absl::InvalidArgumentError(absl::StrCat(
          "tensor.shape [", absl::StrJoin(tensor.shape(), ", "),
          "] must have sizes of 1 or more and a product of at most ",
          elements_max, " with dim ", dim));
    }
    elements *= size;
  }
  return absl::OkStatus();
}

// Fans left open are those of the tensor: its first size and its last.
void FillFans(v1::TableSpec* spec) {
  v1::Initializer* init = spec->mutable_initializer();
  if (init->kind() != v1::Initializer::XAVIER || init->fan_in() != 0 ||
      init->fan_out() != 0 || spec->tensor().shape_size() != 2) {
    return;
  }
  uint64_t fan_in = spec->tensor().shape(0), fan_out = spec->tensor().shape(1);
  if (fan_in > UINT32_MAX || fan_out > UINT32_MAX) return;
  init->set_fan_in(static_cast<uint32_t>(fan_in));
  init->set_fan_out(static_cast<uint32_t>(fan_out));
}

absl::Status ValidateInitializer(const v1::Initializer& init) {
  if (!v1::Initializer::Kind_IsValid(init.kind())) {
    return absl::InvalidArgumentError(
        absl::StrCat("initializer.kind ", static_cast<int>(init.kind()),
                     " is unknown; 0 to 4 are defined"));
  }
  bool is_width = init.kind() == v1::Initializer::UNIFORM ||
                  init.kind() == v1::Initializer::NORMAL;
  // Well inside f32, so that no row starts as an infinity.
  if (!(std::abs(init.a()) <= 1e30) || (is_width && init.a() < 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("initializer.a is ", init.a(), "; it must be ",
                     is_width ? "0" : "-1e30", " to 1e30"));
  }
  if (init.kind() == v1::Initializer::XAVIER && init.fan_in() == 0 &&
      init.fan_out() == 0) {
    return absl::InvalidArgumentError(
        "initializer.fan_in and fan_out are 0; xavier needs them, except for "
        "a tensor of two dimensions");
  }
  return absl::OkStatus();
}

// Collects what differs, field by field.
class Difference {
 public:
  template <typename T>
  void Compare(absl::string_view field, const T& there, const T& asked) {
    if (there == asked) return;
    found_.push_back(
        absl::StrCat(field, ": ", there, " there, ", asked, " asked"));
  }
  std::string Text() const { return absl::StrJoin(found_, "; "); }

 private:
  std::vector<std::string> found_;
};

void CompareGradientOptions(const v1::TableSpec& there,
                            const v1::TableSpec& asked,
                            Difference& difference) {
  difference.Compare("clipping.value", there.clipping().value(),
                     asked.clipping().value());
  difference.Compare("clipping.norm", there.clipping().norm(),
                     asked.clipping().norm());
  difference.Compare("schedule.kind",
                     v1::Schedule::Kind_Name(there.schedule().kind()),
                     v1::Schedule::Kind_Name(asked.schedule().kind()));
  difference.Compare("schedule.warmup", there.schedule().warmup(),
                     asked.schedule().warmup());
  difference.Compare("schedule.period", there.schedule().period(),
                     asked.schedule().period());
  difference.Compare("schedule.decay", there.schedule().decay(),
                     asked.schedule().decay());
  difference.Compare("schedule.floor", there.schedule().floor(),
                     asked.schedule().floor());
  difference.Compare("staleness_scaling", there.staleness_scaling(),
                     asked.staleness_scaling());
  difference.Compare("delay_compensation", there.delay_compensation(),
                     asked.delay_compensation());
  difference.Compare("durability", v1::Durability_Name(there.durability()),
                     v1::Durability_Name(asked.durability()));
  difference.Compare("memory_budget", there.memory_budget(),
                     asked.memory_budget());
}

std::string ShapeText(const v1::TableSpec& spec) {
  if (!spec.has_tensor()) return "none";
  return absl::StrCat("[", absl::StrJoin(spec.tensor().shape(), ", "), "]");
}

}  // namespace

absl::StatusOr<std::string> NormaliseRule(const RuleCheck& check,
                                          v1::UpdateRule* rule) {
  if (rule->params_size() > 64) {
    return absl::InvalidArgumentError("rule.params has more than 64 entries");
  }
  std::map<std::string, double> params(rule->params().begin(),
                                       rule->params().end());
  absl::StatusOr<CheckedRule> checked = check(rule->name(), params);
  if (!checked.ok()) return Annotate(checked.status(), "rule");
  rule->mutable_params()->clear();
  for (const auto& [name, value] : checked->params) {
    (*rule->mutable_params())[name] = value;
  }
  return checked->slots;
}

absl::Status ValidateNonFinite(const v1::NonFinite& non_finite) {
  if (!v1::NonFinite::Policy_IsValid(non_finite.policy())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "non_finite.policy ", static_cast<int>(non_finite.policy()),
        " is unknown; 0 to 2 are defined"));
  }
  double clip = non_finite.clip();
  bool clips = non_finite.policy() == v1::NonFinite::CLIP;
  if (clips ? clip > 0 && clip <= FLT_MAX : clip == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "non_finite.clip is ", clip, "; it must be ",
      clips ? "above 0 and finite in f32" : "0 unless the policy is CLIP"));
}

absl::Status NormaliseTableSpec(const RuleCheck& check, v1::TableSpec* spec) {
  if (!v1::Durability_IsValid(spec->durability())) {
    return absl::InvalidArgumentError(
        absl::StrCat("durability ", static_cast<int>(spec->durability()),
                     " is unknown; 0 to 2 are defined"));
  }
  PARAMO_RETURN_IF_ERROR(Annotate(FindCodec(spec->codec()).status(), "codec"));
  PARAMO_RETURN_IF_ERROR(ValidateName("table name", spec->name()));
  PARAMO_RETURN_IF_ERROR(ValidateRange("dim", spec->dim(), 1, kDimMax));
  if (spec->has_tensor()) {
    PARAMO_RETURN_IF_ERROR(ValidateTensor(spec->tensor(), spec->dim()));
  }
  PARAMO_RETURN_IF_ERROR(NormaliseRule(check, spec->mutable_rule()).status());
  FillFans(spec);
  PARAMO_RETURN_IF_ERROR(ValidateInitializer(spec->initializer()));
  spec->mutable_non_finite();
  PARAMO_RETURN_IF_ERROR(ValidateNonFinite(spec->non_finite()));
  return ValidateGradientOptions(*spec);
}

std::string DescribeDifference(const v1::TableSpec& there,
                               const v1::TableSpec& asked) {
  Difference difference;
  difference.Compare("dim", there.dim(), asked.dim());
  difference.Compare("tensor", ShapeText(there), ShapeText(asked));
  difference.Compare("rule.name", there.rule().name(), asked.rule().name());
  if (there.rule().name() == asked.rule().name()) {
    for (const auto& [name, value] : there.rule().params()) {
      auto other = asked.rule().params().find(name);
      if (other == asked.rule().params().end()) continue;
      difference.Compare(absl::StrCat("rule.params.", name), value,
                         other->second);
    }
  }
  const v1::Initializer &init = there.initializer(),
                        &init_asked = asked.initializer();
  difference.Compare("initializer.kind",
                     v1::Initializer::Kind_Name(init.kind()),
                     v1::Initializer::Kind_Name(init_asked.kind()));
  difference.Compare("initializer.a", init.a(), init_asked.a());
  difference.Compare("initializer.fan_in", init.fan_in(), init_asked.fan_in());
  difference.Compare("initializer.fan_out", init.fan_out(),
                     init_asked.fan_out());
  difference.Compare("non_finite.policy",
                     v1::NonFinite::Policy_Name(there.non_finite().policy()),
                     v1::NonFinite::Policy_Name(asked.non_finite().policy()));
  difference.Compare("non_finite.clip", there.non_finite().clip(),
                     asked.non_finite().clip());
  difference.Compare("seed", there.seed(), asked.seed());
  difference.Compare("codec", there.codec(), asked.codec());
  CompareGradientOptions(there, asked, difference);
  return difference.Text();
}

}  // namespace paramo
