// Comma-separated tables: RFC 4180 (quoted fields, "" for a quote, CRLF or LF) with a header line.
// Invariant: every row has exactly as many fields as the header; all that differs is refused with file and
// line.
#pragma once
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace sagitta::data {

struct CsvTable {
  std::string file;  // for messages only
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
  std::vector<std::size_t> lines;  // line of the file on which each row begins, from 1

  // Index of the named column; throws Error that lists the columns there are.
  std::size_t column(std::string_view name) const;
  // The field as a finite number; throws Error naming file, line and column.
  double number(std::size_t row, std::size_t column) const;
  // "FILE, line L, column NAME": the start of every message about a field.
  std::string where(std::size_t row, std::size_t column) const;
};

// `file` appears in messages. Skips a UTF-8 byte order mark and empty lines. Throws Error on an empty or
// doubled column name, a row of another length, text beside quotes, a quote left open, or a NUL byte.
CsvTable parse_csv(std::string_view text, std::string file);

// Reads a whole file of at most 1 GiB. Throws Error naming the file.
CsvTable read_csv(const std::filesystem::path& path);

// Writes header and rows (lines end in LF, fields are quoted where they must be), whole or not at all.
void write_csv(const std::filesystem::path& path, const std::vector<std::string>& header,
               const std::vector<std::vector<std::string>>& rows);

}  // namespace sagitta::data
