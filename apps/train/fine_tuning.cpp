#include "apps/train/fine_tuning.h"

#include <charconv>
#include <cmath>
#include <unordered_map>

#include "tensor/error.h"

namespace sagitta::apps {
namespace {

// The model itself keeps its mode, which tells whether it is being trained; its parts hold the parameters.
void freeze_parts(models::ImageClassifier& model, bool on) {
  for (const nn::NamedModule& named : model.named_modules())
    if (named.module != &model.module()) named.module->freeze(on);
}

std::size_t block_count(const std::string& text, std::size_t blocks) {
  std::size_t count = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, count);
  require(error == std::errc() && stop == end && count <= blocks,
          "--freeze is '{}', expected none, backbone, or a number of blocks up to {}", text, blocks);
  return count;
}

}  // namespace

void freeze(models::ImageClassifier& model, const std::string& what) {
  if (what == "none") return;
  if (what == "backbone") {
    freeze_parts(model, true);
    for (const nn::NamedModule& named : model.named_modules())
      if (named.name == model.head_name()) named.module->freeze(false);
    return;
  }
  const std::vector<nn::Module*> blocks = model.blocks();
  const std::size_t count = block_count(what, blocks.size());
  for (std::size_t i = 0; i < count; ++i) blocks[i]->freeze();
}

void unfreeze(models::ImageClassifier& model) { freeze_parts(model, false); }

nn::ParameterArena::Rate layer_rates(models::ImageClassifier& model, double decay) {
  if (decay == 1) return {};
  std::unordered_map<const nn::Parameter*, double> rates;
  const std::vector<nn::Module*> blocks = model.blocks();
  for (std::size_t i = 0; i < blocks.size(); ++i)
    for (const nn::NamedParameter& named : blocks[i]->named_parameters())
      rates[named.parameter] = std::pow(decay, static_cast<double>(blocks.size() - i));
  return [rates = std::move(rates)](const nn::Parameter& parameter) {
    const auto found = rates.find(&parameter);
    return found == rates.end() ? 1.0 : found->second;
  };
}

}  // namespace sagitta::apps
