// What this build is made of, and what it computes with on this machine: for --version and for a run's
// record.
#pragma once
#include <string>
#include <utility>
#include <vector>

namespace sagitta::apps {

// Pairs of a name and a text: "version" first, then compiler, SIMD, CUDA, cuDNN, DICOM.
std::vector<std::pair<std::string, std::string>> build_facts();

// What --version prints.
std::string version_text();

}  // namespace sagitta::apps
