// How a pretrained model is trained further: what of it stays as it is, and how fast the rest learns.
#pragma once
#include <string>

#include "models/classifier.h"
#include "nn/arena.h"

namespace sagitta::apps {

// Freezes what --freeze names: "none", "backbone" (all but the last layer), or the number of blocks from the
// input on (models::ImageClassifier::blocks()). Throws Error for anything else, or more blocks than there
// are.
void freeze(models::ImageClassifier& model, const std::string& what);
void unfreeze(models::ImageClassifier& model);

// Learning rates that shrink towards the input (Clark et al., "ELECTRA", 2020): of n blocks, block i from 0
// learns at decay^(n - i) times the rate of what lies behind the blocks. Empty for a decay of 1.
nn::ParameterArena::Rate layer_rates(models::ImageClassifier& model, double decay);

}  // namespace sagitta::apps
