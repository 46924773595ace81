#include "apps/observe/trace_events.h"

#include <algorithm>

namespace sagitta::apps {
namespace {

// The format knows processes and threads; ours is one process, and lanes are its threads.
constexpr int kProcess = 1;

TraceEvents::Json metadata(const char* what, int thread, TraceEvents::Json args) {
  return {{"ph", "M"}, {"name", what}, {"pid", kProcess}, {"tid", thread}, {"args", std::move(args)}};
}

}  // namespace

void TraceEvents::add(Span span) {
  const std::lock_guard lock(mutex_);
  if (std::find(lanes_.begin(), lanes_.end(), span.lane) == lanes_.end()) lanes_.push_back(span.lane);
  spans_.push_back(std::move(span));
}

void TraceEvents::add_counter(std::string name, Clock::time_point time, double value, std::string unit) {
  const std::lock_guard lock(mutex_);
  counters_.push_back({std::move(name), time, value, std::move(unit)});
}

TraceEvents::Clock::time_point TraceEvents::start() const {
  Clock::time_point first = Clock::time_point::max();
  for (const Span& span : spans_) first = std::min(first, span.begin);
  for (const Counter& counter : counters_) first = std::min(first, counter.time);
  return first;
}

TraceEvents::Json TraceEvents::json(std::string_view process, const Json& about) const {
  const std::lock_guard lock(mutex_);
  const Clock::time_point zero = start();
  const auto microseconds = [](Clock::duration duration) {
    return static_cast<double>(std::chrono::nanoseconds(duration).count()) / 1e3;
  };
  const auto lane_of = [&](const std::string& lane) {
    return static_cast<int>(std::find(lanes_.begin(), lanes_.end(), lane) - lanes_.begin()) + 1;
  };
  Json events = Json::array();
  events.push_back(metadata("process_name", 0, {{"name", process}}));
  for (const std::string& lane : lanes_) {
    events.push_back(metadata("thread_name", lane_of(lane), {{"name", lane}}));
    events.push_back(metadata("thread_sort_index", lane_of(lane), {{"sort_index", lane_of(lane)}}));
  }
  for (const Span& span : spans_) {
    Json event{{"ph", "X"},
               {"name", span.name},
               {"cat", span.lane},
               {"pid", kProcess},
               {"tid", lane_of(span.lane)},
               {"ts", microseconds(span.begin - zero)},
               {"dur", microseconds(span.end - span.begin)}};
    if (!span.args.is_null()) event["args"] = span.args;
    events.push_back(std::move(event));
  }
  for (const Counter& counter : counters_)
    events.push_back({{"ph", "C"},
                      {"name", counter.name},
                      {"pid", kProcess},
                      {"ts", microseconds(counter.time - zero)},
                      {"args", {{counter.unit, counter.value}}}});
  return {{"displayTimeUnit", "ms"}, {"otherData", about}, {"traceEvents", std::move(events)}};
}

}  // namespace sagitta::apps
