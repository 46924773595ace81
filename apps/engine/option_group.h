// OptionGroup: options that stand together in a program's --help, each with its default.
#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <utility>
#include <vector>

namespace sagitta::apps {

class OptionGroup {
 public:
  OptionGroup(CLI::App& app, std::string name) : app_(app), name_(std::move(name)) {}

  template <class T>
  CLI::Option* add(const std::string& flag, T& value, const std::string& text) {
    return app_.add_option(flag, value, text)->group(name_)->capture_default_str();
  }
  // With bounds that the value must keep.
  template <class T>
  CLI::Option* add(const std::string& flag, T& value, const std::string& text, const CLI::Validator& check) {
    return add(flag, value, text)->check(check);
  }
  CLI::Option* add_flag(const std::string& flag, bool& value, const std::string& text) {
    return app_.add_flag(flag, value, text)->group(name_);
  }

 private:
  CLI::App& app_;
  std::string name_;
};

using Names = std::vector<std::string>;

}  // namespace sagitta::apps
