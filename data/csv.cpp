#include "data/csv.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "tensor/atomic_file.h"
#include "tensor/error.h"

namespace sagitta::data {
namespace {

constexpr std::size_t kMaxFileBytes = std::size_t{1} << 30;

// One pass over the text; `at_` only grows, so any input ends.
class Parser {
 public:
  Parser(std::string_view text, const std::string& file) : text_(text), file_(file) {
    if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;
    require(text_.find('\0') == std::string_view::npos, "{}: contains NUL bytes; save it as UTF-8 text",
            file_);
  }

  // Fills `fields` with the next line that is not empty; false at the end of the text.
  bool next(std::vector<std::string>& fields) {
    while (at_ < text_.size() && end_of_line()) continue;
    if (at_ >= text_.size()) return false;
    row_line_ = line_;
    fields.clear();
    do {
      fields.push_back(text_.substr(at_).starts_with('"') ? quoted() : plain());
    } while (skip(','));
    require(at_ >= text_.size() || end_of_line(),
            "{}, line {}: text after a closing quote; double quotes inside fields", file_, line_);
    return true;
  }

  std::size_t row_line() const { return row_line_; }

 private:
  bool skip(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  bool end_of_line() {
    if (text_.substr(at_).starts_with("\r\n")) ++at_;
    if (!skip('\n')) return false;
    ++line_;
    return true;
  }

  std::string plain() {
    const std::size_t end = std::min(text_.find_first_of(",\n\"", at_), text_.size());
    require(end == text_.size() || text_[end] != '"', "{}, line {}: a quote inside an unquoted field", file_,
            line_);
    std::string_view field = text_.substr(at_, end - at_);
    at_ = end;
    if (field.ends_with('\r') && (end == text_.size() || text_[end] == '\n')) {
      field.remove_suffix(1);
      if (end < text_.size()) --at_;
    }
    return std::string(field);
  }

  std::string quoted() {
    const std::size_t first_line = line_;
    std::string field;
    ++at_;
    while (true) {
      const std::size_t end = text_.find('"', at_);
      require(end != std::string_view::npos, "{}, line {}: the quote opened here is never closed", file_,
              first_line);
      field += text_.substr(at_, end - at_);
      line_ += static_cast<std::size_t>(std::count(text_.begin() + at_, text_.begin() + end, '\n'));
      at_ = end + 1;
      if (!skip('"')) return field;
      field += '"';
    }
  }

  std::string_view text_;
  const std::string& file_;
  std::size_t at_ = 0, line_ = 1, row_line_ = 1;
};

std::string quote_if_needed(const std::string& field) {
  if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
  std::string quoted(1, '"');
  for (char c : field) quoted.append(c == '"' ? 2 : 1, c);
  quoted.push_back('"');
  return quoted;
}

void append_row(std::string& text, const std::vector<std::string>& row) {
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (i > 0) text += ',';
    text += quote_if_needed(row[i]);
  }
  // A lone empty field would read back as an empty line.
  if (row.size() == 1 && row[0].empty()) text += "\"\"";
  text += '\n';
}

}  // namespace

std::size_t CsvTable::column(std::string_view name) const {
  const auto found = std::find(header.begin(), header.end(), name);
  require(found != header.end(), "{}: has no column \"{}\"; its columns are {}", file, name,
          fmt::join(header, ", "));
  return static_cast<std::size_t>(found - header.begin());
}

std::string CsvTable::where(std::size_t row, std::size_t column) const {
  return fmt::format("{}, line {}, column {}", file, lines.at(row), header.at(column));
}

double CsvTable::number(std::size_t row, std::size_t column) const {
  const std::string& field = rows.at(row).at(column);
  double value = 0;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
  require(error == std::errc() && end == field.data() + field.size() && std::isfinite(value),
          "{}: \"{}\" is not a number", where(row, column), field.substr(0, 40));
  return value;
}

CsvTable parse_csv(std::string_view text, std::string file) {
  CsvTable table;
  table.file = std::move(file);
  Parser parser(text, table.file);
  require(parser.next(table.header), "{}: is empty, expected a header line", table.file);
  auto names = table.header;
  std::sort(names.begin(), names.end());
  require(!names.front().empty(), "{}, line {}: a column has no name", table.file, parser.row_line());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  require(twice == names.end(), "{}: column \"{}\" appears twice", table.file,
          twice == names.end() ? "" : *twice);
  for (std::vector<std::string> fields; parser.next(fields);) {
    require(fields.size() == table.header.size(), "{}, line {}: has {} fields, the header has {}", table.file,
            parser.row_line(), fields.size(), table.header.size());
    table.rows.push_back(fields);
    table.lines.push_back(parser.row_line());
  }
  return table;
}

CsvTable read_csv(const std::filesystem::path& path) {
  return parse_csv(read_text_file(path, kMaxFileBytes), path.string());
}

void write_csv(const std::filesystem::path& path, const std::vector<std::string>& header,
               const std::vector<std::vector<std::string>>& rows) {
  std::string text;
  append_row(text, header);
  for (const auto& row : rows) {
    require(row.size() == header.size(), "{}: a row has {} fields, the header has {}", path.string(),
            row.size(), header.size());
    append_row(text, row);
  }
  write_text_file(path, text);
}

}  // namespace sagitta::data
