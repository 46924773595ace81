// ParameterArena: every parameter of a model in one flat buffer, its gradients in another, in registration
// order, and in a 16-bit context the copies that the ops read in a third. Invariant: after construction
// parameters are views into values() and copies(), their gradients are written straight into gradients(), so
// the optimizer, the gradient norm and an all-reduce are one call each. Offsets are multiples of kAlignment
// elements; the padding between parameters is zero in all buffers and stays so.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "nn/module.h"
#include "nn/parameter.h"

namespace sagitta::nn {

// Which parameters weight decay applies to.
enum class DecayPolicy {
  all,          // every parameter: torch.optim with one group
  huggingface,  // the Trainer: not biases, not layer norms; batch norm weights and embeddings do decay
  torchvision,  // --norm-weight-decay 0: not the norms' weights and biases; other biases do decay
  weights,      // only the weights of linear and convolution layers
};
bool decays(DecayPolicy policy, Role role);

class ParameterArena {
 public:
  static constexpr std::int64_t kAlignment = 16;

  struct Entry {
    std::string name;
    Parameter* parameter = nullptr;
    std::int64_t offset = 0;  // in elements
  };

  // The factor of the learning rate of a parameter.
  using Rate = std::function<double(const Parameter&)>;

  // `model` must outlive the arena and must have at least one parameter, all of one dtype. Without `rate` all
  // learn at the same.
  ParameterArena(Module& model, double weight_decay, DecayPolicy policy, Rate rate = {});

  Tensor& values() { return values_; }
  Tensor& gradients() { return gradients_; }
  Tensor& copies() { return copies_; }  // empty without 16-bit copies
  const UpdateSegments& segments() const { return segments_; }
  const std::vector<Entry>& entries() const { return entries_; }

  // Takes note of what Module::freeze() froze or thawed after the construction: from now on the frozen keep
  // their values, and their gradients are zeros. Makes new segments; a captured step must be captured again.
  void settle_frozen();

  // Starts a new accumulation: the next backward() overwrites. Costs no memory traffic.
  void clear_gradients();
  // Goes on with an accumulation: the next backward() adds. To be said in a captured step, which does not see
  // the backward() before it; every gradient must have been filled or completed.
  void keep_gradients();
  // Zeros the gradient of every parameter that backward() did not reach (those of the frozen are zeros
  // already); call before reading gradients().
  void complete_gradients();

 private:
  double decay_of(const Parameter& parameter) const;

  std::vector<Entry> entries_;
  double weight_decay_;
  DecayPolicy policy_;
  Rate rate_;
  Tensor values_, gradients_, copies_;  // [n]
  UpdateSegments segments_;
};

}  // namespace sagitta::nn
