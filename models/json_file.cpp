#include "models/json_file.h"

#include <functional>
#include <set>
#include <utility>

#include "tensor/atomic_file.h"
#include "tensor/error.h"

namespace sagitta::models {
namespace {

constexpr std::size_t kMaxBytes = 64u << 20;
constexpr std::size_t kMaxListLength = 64;
constexpr int kMaxDepth = 64;

// A value as it reads in a message: short, on one line.
std::string excerpt(const nlohmann::json& value) {
  const std::string text = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  return text.size() <= 60 ? text : text.substr(0, 57) + "...";
}

// Refuses, while a file is parsed, objects in which a key appears twice (which value counts would be a matter
// of luck) and nesting so deep that code which walks the tree by recursion would run out of stack.
class ParseGuard {
 public:
  explicit ParseGuard(const std::string& path) : path_(path) {}

  bool operator()(int depth, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
    using Event = nlohmann::json::parse_event_t;
    require(depth <= kMaxDepth, "{}: JSON nested more than {} deep", path_, kMaxDepth);
    if (event == Event::object_start) open_objects_.emplace_back();
    if (event == Event::object_end) open_objects_.pop_back();
    if (event == Event::key)
      require(open_objects_.back().insert(parsed.get<std::string>()).second, "{}: the key {} appears twice",
              path_, excerpt(parsed));
    return true;
  }

 private:
  const std::string& path_;
  std::vector<std::set<std::string>> open_objects_;
};

}  // namespace

JsonFile JsonFile::load(const std::filesystem::path& path) {
  const std::string text = read_text_file(path, kMaxBytes);
  const std::string name = path.string();
  ParseGuard guard(name);
  nlohmann::json object = nlohmann::json::parse(text, std::ref(guard), /*allow_exceptions=*/false);
  require(!object.is_discarded(), "{}: not valid JSON", path.string());
  require(object.is_object(), "{}: found {}, expected a JSON object", path.string(), excerpt(object));
  return JsonFile(path.string(), std::move(object));
}

const nlohmann::json* JsonFile::find(const std::string& key) const {
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

void JsonFile::reject(const std::string& key, const std::string& expected) const {
  const nlohmann::json* value = find(key);
  fail("{}: {} is {}, expected {}", path_, key, value ? excerpt(*value) : "missing", expected);
}

std::int64_t JsonFile::checked(const std::string& key, const nlohmann::json& value, Range range) const {
  const bool fits = value.is_number_unsigned() ? std::in_range<std::int64_t>(value.get<std::uint64_t>())
                                               : value.is_number_integer();
  if (!fits || value.get<std::int64_t>() < range.low || value.get<std::int64_t>() > range.high)
    reject(key, fmt::format("integers from {} to {}", range.low, range.high));
  return value.get<std::int64_t>();
}

std::int64_t JsonFile::integer(const std::string& key, std::int64_t fallback, Range range) const {
  const nlohmann::json* value = find(key);
  return value ? checked(key, *value, range) : fallback;
}

std::vector<std::int64_t> JsonFile::integers(const std::string& key,
                                             const std::vector<std::int64_t>& fallback, Range range) const {
  const nlohmann::json* value = find(key);
  if (!value) return fallback;
  if (!value->is_array() || value->empty() || value->size() > kMaxListLength)
    reject(key, "a list of integers");
  std::vector<std::int64_t> result;
  for (const nlohmann::json& item : *value) result.push_back(checked(key, item, range));
  return result;
}

double JsonFile::number(const std::string& key, double fallback, double low, double high) const {
  const nlohmann::json* value = find(key);
  if (!value) return fallback;
  if (!value->is_number() || !(value->get<double>() >= low && value->get<double>() <= high))
    reject(key, fmt::format("a number from {} to {}", low, high));
  return value->get<double>();
}

bool JsonFile::boolean(const std::string& key, bool fallback) const {
  const nlohmann::json* value = find(key);
  if (!value) return fallback;
  if (!value->is_boolean()) reject(key, "true or false");
  return value->get<bool>();
}

std::string JsonFile::text(const std::string& key, const std::string& fallback) const {
  const nlohmann::json* value = find(key);
  if (!value) return fallback;
  if (!value->is_string()) reject(key, "a string");
  return value->get<std::string>();
}

std::int64_t JsonFile::square(const std::string& key, std::int64_t fallback, Range range) const {
  const nlohmann::json* value = find(key);
  if (!value || !value->is_array()) return integer(key, fallback, range);
  const std::vector<std::int64_t> sides = integers(key, {}, range);
  if (sides.size() != 2 || sides[0] != sides[1]) reject(key, "a square: one integer, or twice the same");
  return sides[0];
}

std::string json_text(const nlohmann::json& object) {
  return object.dump(2, ' ', true, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace sagitta::models
