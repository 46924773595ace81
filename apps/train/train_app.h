// The program behind train_resnet and train_vit: options to model, data and trainer.
#pragma once
#include <string>

namespace sagitta::apps {

struct TrainProgram {
  std::string name;  // "train_resnet"
  std::string description;
  std::string default_arch;  // "resnet-50"
  std::string arch_prefix;   // architectures this program trains start so: "resnet-"
};

// Parses the command line and trains. Returns the exit code: 0, 1 for errors, 2 for wrong usage.
int train_main(const TrainProgram& program, int argc, char** argv);

}  // namespace sagitta::apps
