// AdamW: Loshchilov and Hutter 2019, Alg. 2: Adam whose weight decay is not
// part of the gradient. Two deviations: t counts per row, as in adam.cc, and
// only rows that a push touches decay, at their pushes. A row of a sparse table
// that nobody uses keeps its value; a row used in every k-th step decays k
// times slower than one used in each.
//   w' = (1 - lr weight_decay) w
//        - lr / (1 - beta1^t) m' / (sqrt(v' / (1 - beta2^t)) + eps)
#include "server/rule/adam_kernel.h"
#include "server/rule/registry.h"

namespace paramo {

RuleEntry AdamwEntry() {
  RuleInfo info{
      .name = "adamw",
      .help =
          "m' = beta1 m + (1 - beta1) g; v' = beta2 v + (1 - beta2) g^2; "
          "w' = (1 - lr weight_decay) w - lr / (1 - beta1^t) m' / "
          "(sqrt(v' / (1 - beta2^t)) + eps); t counts the row's steps",
      .slots = {{"mean"}, {"mean_square"}},
      .params = {
          LearningRate(0.001),
          KeptShare("beta1", 0.9, "share of the mean that is kept"),
          KeptShare("beta2", 0.999, "share of the mean square that is kept"),
          Epsilon(1e-8),
          KeptShare("weight_decay", 0.01,
                    "pull towards 0 at each step of a row, times lr")}};
  return {std::move(info),
          [](const RuleInfo& info,
             const RuleParamValues& values) -> std::unique_ptr<Rule> {
            const AdamKernel adamw{.lr = values.at("lr"),
                                   .beta1 = values.at("beta1"),
                                   .beta2 = values.at("beta2"),
                                   .eps = values.at("eps"),
                                   .decay = values.at("weight_decay")};
            return std::make_unique<ElementwiseRule<AdamKernel>>(info, adamw);
          }};
}

}  // namespace paramo
