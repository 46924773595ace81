// The program train_study: from trained slice models and a folder of slices to a model of studies.
#pragma once

namespace sagitta::apps {

// Parses the command line, trains and evaluates. Returns the exit code: 0, 1 for errors, 2 for wrong usage.
int train_study_main(int argc, char** argv);

}  // namespace sagitta::apps
