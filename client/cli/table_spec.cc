#include "client/cli/table_spec.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/codec/codec.h"
#include "common/config/value.h"
#include "paramo/tensor.h"
#include "paramo/v1/cluster.pb.h"

namespace paramo::cli {
namespace {

// What stands before and after the first `separator`.
std::pair<std::string, std::string> Halves(const std::string& text,
                                           char separator) {
  return absl::StrSplit(text, absl::MaxSplits(separator, 1));
}

absl::Status ReadTensor(const TableFlags& flags, v1::TableSpec& spec) {
  uint64_t elements = 1;
  for (absl::string_view part : absl::StrSplit(flags.tensor, ',')) {
    auto size = ParseInt(part, {1, int64_t{1} << 48});
    if (!size.ok()) return Annotate(size.status(), "--tensor (e.g. 784,256)");
    spec.mutable_tensor()->add_shape(static_cast<uint64_t>(*size));
    if (elements > (uint64_t{1} << 48) / static_cast<uint64_t>(*size)) {
      return absl::InvalidArgumentError("--tensor: more than 2^48 elements");
    }
    elements *= static_cast<uint64_t>(*size);
  }
  if (flags.dim != 0) {
    return absl::InvalidArgumentError(
        "--dim is for sparse tables; a tensor's row width is --block");
  }
  spec.set_dim(flags.block != 0 ? flags.block
                                : static_cast<uint32_t>(std::min<uint64_t>(
                                      elements, kTensorDimDefault)));
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadParams(const std::vector<std::string>& params,
                        v1::UpdateRule& rule) {
  for (const std::string& param : params) {
    const auto [name, text] = Halves(param, '=');
    auto value = ParseNumber(text, {});
    if (name.empty() || !value.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--param: `", Printable(param, 64),
                       "` is not NAME=NUMBER, e.g. lr=0.05"));
    }
    if (!rule.mutable_params()->insert({name, *value}).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("--param: ", name, " is given twice"));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadInitializer(const std::string& text,
                             v1::Initializer& initializer) {
  const auto halves = Halves(text, ':');
  const std::string& kind = halves.first;
  const std::string& rest = halves.second;
  const absl::Status bad = absl::InvalidArgumentError(
      absl::StrCat("--init: `", Printable(text, 64),
                   "` is not one of zeros, constant:A, "
                   "uniform:A, normal:A, xavier:IN,OUT, e.g. uniform:0.01"));
  if (kind == "zeros") {
    initializer.set_kind(v1::Initializer::ZEROS);
    return rest.empty() ? absl::OkStatus() : bad;
  }
  if (kind == "xavier") {
    const auto fans = Halves(rest, ',');
    auto in = ParseInt(fans.first, {1, UINT32_MAX});
    auto out = ParseInt(fans.second, {1, UINT32_MAX});
    if (!in.ok() || !out.ok()) return bad;
    initializer.set_kind(v1::Initializer::XAVIER);
    initializer.set_fan_in(static_cast<uint32_t>(*in));
    initializer.set_fan_out(static_cast<uint32_t>(*out));
    return absl::OkStatus();
  }
  auto a = ParseNumber(rest, {});
  if (!a.ok()) return bad;
  initializer.set_a(*a);
  if (kind == "constant") {
    initializer.set_kind(v1::Initializer::CONSTANT);
  } else if (kind == "uniform") {
    initializer.set_kind(v1::Initializer::UNIFORM);
  } else if (kind == "normal") {
    initializer.set_kind(v1::Initializer::NORMAL);
  } else {
    return bad;
  }
  return absl::OkStatus();
}

absl::Status ReadNonFinite(const std::string& text, v1::NonFinite& policy) {
  const auto halves = Halves(text, ':');
  if (text == "reject") {
    policy.set_policy(v1::NonFinite::REJECT);
    return absl::OkStatus();
  }
  if (text == "skip") {
    policy.set_policy(v1::NonFinite::SKIP_ROW);
    return absl::OkStatus();
  }
  auto clip = ParseNumber(halves.second, {});
  if (halves.first != "clip" || !clip.ok() || *clip <= 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--non-finite: `", Printable(text, 64),
                     "` is not one of reject, skip, clip:MAX, e.g. clip:10"));
  }
  policy.set_policy(v1::NonFinite::CLIP);
  policy.set_clip(*clip);
  return absl::OkStatus();
}

namespace {

// The flag's own check has refused other words.
v1::Durability DurabilityOf(absl::string_view text) {
  if (text == "replicated") return v1::DURABILITY_REPLICATED;
  return text == "synced" ? v1::DURABILITY_SYNCED : v1::DURABILITY_LOGGED;
}

}  // namespace

std::vector<std::string> CodecNames() {
  std::vector<std::string> names;
  for (const Codec& codec : ListCodecs()) names.push_back(codec.name);
  return names;
}

absl::Status ReadTableSpec(const TableFlags& flags, v1::TableSpec& spec) {
  spec.set_name(flags.name);
  spec.set_seed(static_cast<uint64_t>(flags.seed));
  spec.mutable_rule()->set_name(flags.rule);
  PARAMO_RETURN_IF_ERROR(ReadParams(flags.params, *spec.mutable_rule()));
  PARAMO_RETURN_IF_ERROR(
      ReadInitializer(flags.init, *spec.mutable_initializer()));
  PARAMO_RETURN_IF_ERROR(
      ReadNonFinite(flags.non_finite, *spec.mutable_non_finite()));
  PARAMO_RETURN_IF_ERROR(ReadGradientFlags(flags.gradients, spec));
  spec.set_durability(DurabilityOf(flags.durability));
  spec.set_memory_budget(flags.memory_budget);
  PARAMO_ASSIGN_OR_RETURN(const Codec* codec,
                          FindCodec(absl::string_view(flags.codec)));
  spec.set_codec(codec->id);
  if (!flags.tensor.empty()) return ReadTensor(flags, spec);
  if (flags.dim == 0 || flags.block != 0) {
    return absl::InvalidArgumentError(
        "give --dim N (floats of a row) for a sparse table, or --tensor SHAPE "
        "(and --block N if you like) for a dense one");
  }
  spec.set_dim(flags.dim);
  return absl::OkStatus();
}

}  // namespace paramo::cli
