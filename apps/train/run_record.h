// What a run leaves behind for the one who asks later how it came about: run.json (commands, builds, devices)
// and data.json (what it was trained, validated and tested on). The report shows both.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "apps/engine/slices.h"

namespace sagitta::apps {

// One start of the program; a run that was resumed has several.
struct RunSession {
  std::string program;
  std::vector<std::string> command;  // arguments as they were given
  std::string device, precision;
  int threads = 0;
};

// Adds the session to RUN/run.json, with the time and the facts of this build.
void record_session(const std::filesystem::path& run, const RunSession& session);

// Writes RUN/data.json: studies, patients, slices and positive studies per label of each part of the split,
// how the slices were cut, and the studies that reslice refused, with the reasons.
void record_data(const std::filesystem::path& run, const data::SliceSet& slices, const StudySplit& split);

// The arguments as a shell would take them.
std::string shell_line(const std::vector<std::string>& arguments);

}  // namespace sagitta::apps
