// TraceEvents: spans and counters over time, in the Trace Event Format that chrome://tracing, Perfetto
// (ui.perfetto.dev) and others show. A lane is a row of the picture; spans of one lane follow each other or
// lie within each other. Thread-safe, so that threads of a loader can add theirs.
#pragma once
#include <chrono>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace sagitta::apps {

class TraceEvents {
 public:
  using Clock = std::chrono::steady_clock;
  using Json = nlohmann::ordered_json;
  struct Span {
    std::string lane, name;
    Clock::time_point begin, end;
    Json args = {};  // an object, or nothing
  };

  // `lanes` are those that come first in the picture, from the top; others follow as they appear.
  explicit TraceEvents(std::vector<std::string> lanes) : lanes_(std::move(lanes)) {}

  void add(Span span);
  void add_counter(std::string name, Clock::time_point time, double value, std::string unit);

  // One JSON document with complete ("X"), counter ("C") and metadata ("M") events; times in microseconds
  // since the first event. `about` says what the file is of.
  Json json(std::string_view process, const Json& about) const;

 private:
  struct Counter {
    std::string name;
    Clock::time_point time;
    double value;
    std::string unit;
  };
  Clock::time_point start() const;

  mutable std::mutex mutex_;
  std::vector<std::string> lanes_;
  std::vector<Span> spans_;
  std::vector<Counter> counters_;
};

}  // namespace sagitta::apps
