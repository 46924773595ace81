// In place of event_file.cpp in a build without protobuf: nothing is written.
#include "apps/events/event_file.h"

namespace sagitta::apps {

struct EventFile::Impl {};

EventFile::EventFile(const std::filesystem::path&, std::int64_t) {}
EventFile::~EventFile() = default;
bool EventFile::is_available() { return false; }
void EventFile::add_scalars(std::int64_t, const std::vector<std::pair<std::string, double>>&) {}
void EventFile::add_image(std::int64_t, const std::string&, const data::Image&) {}
void EventFile::add_precision_recall(std::int64_t, const std::string&, std::span<const float>,
                                     std::span<const float>) {}
void EventFile::add_hyperparameters(const std::vector<std::pair<std::string, std::string>>&,
                                    const std::vector<std::string>&) {}
void EventFile::add_end() {}

}  // namespace sagitta::apps
