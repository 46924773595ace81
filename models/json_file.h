// JsonFile: a small JSON object on disk (config.json, preprocessor_config.json) with typed, range-checked
// fields. Every error names the file, the field, what was found and what is expected.
#pragma once
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace sagitta::models {

class JsonFile {
 public:
  // Throws Error when the file is missing, not JSON, or not an object.
  static JsonFile load(const std::filesystem::path& path);

  const std::string& path() const { return path_; }
  const nlohmann::json& object() const { return object_; }
  // The field, or null when it is absent or JSON null.
  const nlohmann::json* find(const std::string& key) const;

  // Inclusive bounds of an integer field.
  struct Range {
    std::int64_t low = 0;
    std::int64_t high = 0;
  };
  std::int64_t integer(const std::string& key, std::int64_t fallback, Range range) const;
  // A list of 1 to 64 integers.
  std::vector<std::int64_t> integers(const std::string& key, const std::vector<std::int64_t>& fallback,
                                     Range range) const;
  double number(const std::string& key, double fallback, double low, double high) const;
  bool boolean(const std::string& key, bool fallback) const;
  std::string text(const std::string& key, const std::string& fallback) const;
  // An integer, or a list [n, n]: transformers allows both for image and patch sizes.
  std::int64_t square(const std::string& key, std::int64_t fallback, Range range) const;

  [[noreturn]] void reject(const std::string& key, const std::string& expected) const;

 private:
  JsonFile(std::string path, nlohmann::json object) : path_(std::move(path)), object_(std::move(object)) {}
  std::int64_t checked(const std::string& key, const nlohmann::json& value, Range range) const;

  std::string path_;
  nlohmann::json object_;
};

// The object as transformers writes it: keys sorted, two spaces, trailing newline.
std::string json_text(const nlohmann::json& object);

}  // namespace sagitta::models
