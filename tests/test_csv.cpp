// Tables: RFC 4180 parsing, errors that name the place, the RSNA tables, hostile input.
#include <doctest/doctest.h>

#include "data/counter_random.h"
#include "data/csv.h"
#include "data/rsna_csv.h"
#include "tensor/error.h"
#include "tests/temp_folder.h"

using namespace sagitta::data;
using sagitta::Error;
using sagitta::testing::read_bytes;
using sagitta::testing::TempFolder;
using sagitta::testing::write_bytes;
using Rows = std::vector<std::vector<std::string>>;

namespace {

std::string error_of(auto&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

constexpr const char* kTrainHeader = "StudyInstanceUID,patient_overall,C1,C2,C3,C4,C5,C6,C7\n";

}  // namespace

TEST_CASE("csv: plain, quoted, CRLF, byte order mark, empty lines, no final newline") {
  CHECK(parse_csv("a,b\n1,2\n", "f").rows == Rows{{"1", "2"}});
  CHECK(parse_csv("\xEF\xBB\xBF"
                  "a,b\r\n1,2\r\n\r\n3,4",
                  "f")
            .rows == Rows{{"1", "2"}, {"3", "4"}});
  CHECK(parse_csv("\xEF\xBB\xBF"
                  "a,b\r\n",
                  "f")
            .header == std::vector<std::string>{"a", "b"});
  const auto table = parse_csv("a,b\n\"x,\"\"y\"\"\",\"two\nlines\"\n,\n", "f");
  CHECK(table.rows == Rows{{"x,\"y\"", "two\nlines"}, {"", ""}});
  CHECK(table.lines == std::vector<std::size_t>{2, 4});
  CHECK(parse_csv("a\n1\r", "f").rows == Rows{{"1"}});
}

TEST_CASE("csv: errors name file and line") {
  CHECK(contains(error_of([] { parse_csv("a,b\n1,2\n3\n", "t.csv"); }),
                 "t.csv, line 3: has 1 fields, the header has 2"));
  CHECK(contains(error_of([] { parse_csv("a\n\"x\ny", "t.csv"); }), "t.csv, line 2: the quote opened here"));
  CHECK(contains(error_of([] { parse_csv("a\nx\"y\n", "t.csv"); }), "line 2: a quote inside"));
  CHECK(contains(error_of([] { parse_csv("a\n\"x\"y\n", "t.csv"); }), "line 2: text after a closing quote"));
  CHECK(contains(error_of([] { parse_csv("a,a\n", "t.csv"); }), "\"a\" appears twice"));
  CHECK(contains(error_of([] { parse_csv("a,\n", "t.csv"); }), "has no name"));
  CHECK(contains(error_of([] { parse_csv("", "t.csv"); }), "is empty"));
  CHECK(contains(error_of([] { parse_csv(std::string_view("a\n\0", 3), "t.csv"); }), "NUL"));
  CHECK(contains(error_of([] { read_csv("/nowhere/t.csv"); }), "/nowhere/t.csv: no such file"));
  const auto table = parse_csv("a,b\n1,x\n", "t.csv");
  CHECK(table.number(0, 0) == 1);
  CHECK(contains(error_of([&] { table.number(0, 1); }), "t.csv, line 2, column b: \"x\" is not a number"));
  CHECK(contains(error_of([&] { table.column("c"); }), "no column \"c\"; its columns are a, b"));
  CHECK(contains(error_of([&] { parse_csv("a\nnan\n", "t").number(0, 0); }), "not a number"));
}

TEST_CASE("csv: what is written reads back") {
  const TempFolder folder;
  const Rows rows = {{"plain", "with,comma"}, {"with \"quotes\"", "two\r\nlines"}, {"", " space "}};
  write_csv(folder / "t.csv", {"a", "b"}, rows);
  CHECK(read_csv(folder / "t.csv").rows == rows);
  write_csv(folder / "one.csv", {"a"}, {{""}, {"x"}});
  CHECK(read_csv(folder / "one.csv").rows == Rows{{""}, {"x"}});
  CHECK(contains(error_of([&] { write_csv(folder / "no/t.csv", {"a"}, {}); }), "cannot be written"));
}

TEST_CASE("rsna: train.csv is read strictly") {
  const TempFolder folder;
  const auto read = [&](const std::string& rows) {
    write_bytes(folder / "train.csv", kTrainHeader + rows);
    return read_train_csv(folder / "train.csv");
  };
  const auto studies = read("1.2.3,1,0,1,0,0,0,0,0\n1.2.4,0,0,0,0,0,0,0,0\n");
  REQUIRE(studies.size() == 2);
  CHECK(studies[0].study == "1.2.3");
  CHECK(studies[0].overall == 1);
  CHECK(studies[0].c == std::array<int, 7>{0, 1, 0, 0, 0, 0, 0});
  CHECK(contains(error_of([&] { read("1.2,2,0,0,0,0,0,0,0\n"); }),
                 "line 2, column patient_overall: label is 2"));
  CHECK(contains(error_of([&] { read("1.2,1,0,0,0,0,0,0,0\n"); }), "C1..C7 say 0"));
  CHECK(contains(error_of([&] { read("1.2,0,0,0,0,0,0,0,0\n1.2,0,0,0,0,0,0,0,0\n"); }), "listed twice"));
  CHECK(contains(error_of([&] { read(""); }), "no studies"));
  for (const char* bad : {"..", "a/b", "../x", "a\\b", ".hidden", "\"\"", "\"a b\"", "C:x"}) {
    CAPTURE(bad);
    CHECK(contains(error_of([&] { read(std::string(bad) + ",0,0,0,0,0,0,0,0\n"); }), "study folder name"));
  }
  write_bytes(folder / "train.csv", "StudyInstanceUID,C1\nx,0\n");
  CHECK(contains(error_of([&] { read_train_csv(folder / "train.csv"); }), "no column \"patient_overall\""));
  write_train_csv(folder / "out.csv", studies);
  CHECK(read_train_csv(folder / "out.csv")[0].c == studies[0].c);
}

TEST_CASE("rsna: bounding boxes") {
  const TempFolder folder;
  const auto read = [&](const std::string& rows) {
    write_bytes(folder / "b.csv", "StudyInstanceUID,x,y,width,height,slice_number\n" + rows);
    return read_bounding_boxes_csv(folder / "b.csv");
  };
  const auto boxes = read("1.2,219.27,222.0,17.3,19.2,133.0\n");
  REQUIRE(boxes.size() == 1);
  CHECK(boxes[0].x == 219.27);
  CHECK(boxes[0].slice_number == 133);
  CHECK(contains(error_of([&] { read("1.2,1,1,-2,1,3\n"); }), "size of at least 0"));
  CHECK(contains(error_of([&] { read("1.2,1,1,2,1,3.5\n"); }), "expected a whole number"));
  CHECK(contains(error_of([&] { read("1.2,1,1,2,1,1e300\n"); }), "expected a whole number"));
}

TEST_CASE("csv: random truncation and bit flips end in a table or an Error") {
  const TempFolder folder;
  std::string good = kTrainHeader;
  for (int i = 0; i < 20; ++i) good += fmt::format("\"1.2.{}\",1,0,1,0,0,0,0,\"0\"\r\n", i);
  CounterRandom random(7, 0);
  int refused = 0;
  for (int round = 0; round < 2000; ++round) {
    std::string bytes = good;
    if (random.chance(0.5))
      bytes.resize(static_cast<std::size_t>(random.below(static_cast<int>(bytes.size()))));
    for (int flips = random.below(4); flips > 0 && !bytes.empty(); --flips)
      bytes[random.below(static_cast<int>(bytes.size()))] ^= static_cast<char>(1 << random.below(8));
    write_bytes(folder / "t.csv", bytes);
    try {
      read_train_csv(folder / "t.csv");
    } catch (const Error& error) {
      ++refused;
      REQUIRE(contains(error.what(), "t.csv"));
    }
  }
  CHECK(refused > 1000);
}
