// safetensors: round trips, the reference writer's exact bytes, and its table of bad files.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <random>

#include "models/classifier.h"
#include "nn/checkpoint.h"
#include "tensor/error.h"
#include "tensor/safetensors.h"
#include "tests/temp_folder.h"

using namespace sagitta;
namespace st = sagitta::safetensors;
using testing::TempFolder;

namespace {

std::string file_of(std::string header, std::string_view data = "",
                    std::optional<std::uint64_t> claimed = {}) {
  const std::uint64_t length = claimed.value_or(header.size());
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + std::move(header) + std::string(data);
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& range) {
  return fmt::format(R"("{}":{{"dtype":"{}","shape":{},"data_offsets":{}}})", name, dtype, shape, range);
}

// A source of zeros.
st::Source zeros_of(const std::string& name, const std::string& dtype, std::vector<std::int64_t> shape,
                    std::size_t bytes) {
  return {name, dtype, std::move(shape), [bytes] { return std::vector<std::byte>(bytes); }};
}

std::string error_of(const TempFolder& folder, const std::string& bytes) {
  testing::write_bytes(folder / "bad.safetensors", bytes);
  try {
    st::File::open(folder / "bad.safetensors");
  } catch (const Error& error) {
    const std::string message = error.what();
    CHECK(message.find("bad.safetensors") != message.npos);
    CHECK(message.find('\n') == message.npos);
    return message;
  }
  return "accepted";
}

std::string braces(const std::string& members) { return fmt::format("{{{}}}", members); }

// The header as a writer pads it.
std::string padded(std::string header) {
  header.resize((header.size() + 7) / 8 * 8, ' ');
  return header;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

template <class T>
std::string raw(std::initializer_list<T> values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  std::memcpy(bytes.data(), values.begin(), bytes.size());
  return bytes;
}

const std::string kZeros16(16, '\0');

}  // namespace

TEST_CASE("safetensors: bad headers of the reference's tests") {
  const TempFolder folder;
  struct Case {
    std::string bytes, expected;
  };
  std::vector<std::string> ten;
  for (int i = 0; i < 10; ++i) ten.push_back(entry(fmt::format("weight_{}", i), "F32", "[2,2]", "[0,16]"));
  const std::string valid = braces(entry("test", "I32", "[2,2]", "[0,16]"));
  const std::vector<Case> cases = {
      {"", "too few"},
      {"1234567", "too few"},
      {std::string("\x3c\0\0\0\0\xff\xff\xff", 8), "limit"},
      {file_of("", "", 100'000'001), "limit"},
      {file_of("", "", 100'000'000), "truncated"},
      {file_of("", "", 60), "truncated"},
      {file_of("\xff"), "not UTF-8"},
      {file_of("{"), "not valid JSON"},
      {file_of(""), "not valid JSON"},
      {file_of("{}x"), "not valid JSON"},
      {file_of(std::string("{}\0\0", 4)), "not valid JSON"},
      {file_of("\xEF\xBB\xBF{}"), "not valid JSON"},
      {file_of("[]"), "expected an object"},
      {file_of("12"), "expected an object"},
      {file_of(braces(fmt::format("{}", fmt::join(ten, ","))), kZeros16), "expected to begin at 16"},
      {file_of(valid, kZeros16 + "extra"), "trailing bytes"},
      {file_of(valid, kZeros16.substr(2)), "truncated"},
      {file_of(braces(entry("test", "I32", "[2,2]", "[0,4]"))), "has 4 bytes"},
      {file_of(braces(entry("test", "I32", "[2,18446744073709551614]", "[0,16]")), kZeros16), "too large"},
      {file_of(braces(entry("test", "I32", "[2,9223372036854775807]", "[0,16]")), kZeros16), "too large"},
      {file_of(braces(entry("test", "I32", "[4611686018427387904,2,0]", "[0,0]"))), "too large"},
      {file_of(braces(entry("test", "F4", "[1,3]", "[0,2]")), "ab"), "whole bytes"},
      {file_of(braces(entry("test", "F4", "[1,2]", "[0,2]")), "ab"), "has 2 bytes"},
      {file_of(braces(entry("test", "F31", "[1]", "[0,4]")), "abcd"), "unknown dtype"},
      {file_of(braces(entry("a", "U8", "[4]", "[2,6]")), "abcdef"), "expected to begin at 0"},
      {file_of(braces(entry("a", "U8", "[0]", "[0,0]") + "," + entry("b", "U8", "[4]", "[4,0]")), "abcd"),
       "expected to begin"},
      {file_of(braces(entry("a", "U8", "[1]", "[0,1]") + "," + entry("a", "U8", "[1]", "[1,2]")), "ab"),
       "appears twice"},
      {file_of(braces(entry("a", "U8", "[0]", "[0,0]") + "," + entry("a", "U8", "[0]", "[0,0]"))),
       "appears twice"},
      {file_of(R"({"__metadata__":{},"__metadata__":{}})"), "appears twice"},
      {file_of(R"({"__metadata__":{"format":1}})"), "does not allow"},
      {file_of(R"({"__metadata__":{"format":{}}})"), "does not allow"},
      {file_of(R"({"__metadata__":[]})"), "does not allow"},
      {file_of(R"({"a":null})"), "does not allow"},
      {file_of(R"({"a":{"dtype":"U8","shape":[1]}})", "a"), "no data_offsets"},
      {file_of(R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", "a"), "no shape"},
      {file_of(R"({"a":{"shape":[1],"data_offsets":[0,1]}})", "a"), "no dtype"},
      {file_of(R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "a"), "two fields"},
      {file_of(braces(entry("a", "U8", "[-1]", "[0,1]")), "a"), "negative"},
      {file_of(braces(entry("a", "U8", "[1.0]", "[0,1]")), "a"), "no integer"},
      {file_of(braces(entry("a", "U8", "[18446744073709551616]", "[0,1]")), "a"), "no integer"},
      {file_of(braces(entry("a", "U8", "[[1]]", "[0,1]")), "a"), "does not allow"},
      {file_of(braces(entry("a", "U8", "[1]", "[0,1,1]")), "a"), "expected 2"},
      {file_of(braces(entry("a", "U8", "[1]", "[0]")), "a"), "expected 2"},
      {file_of(braces(entry("a", "U8", "1", "[0,1]")), "a"), "does not allow"},
      {file_of(R"({"a":{"dtype":8,"shape":[1],"data_offsets":[0,1]}})", "a"), "does not allow"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.bytes.substr(0, 200));
    const std::string message = error_of(folder, c.bytes);
    CHECK_MESSAGE(contains(message, c.expected), message);
  }
}

TEST_CASE("safetensors: unusual files that are valid") {
  const TempFolder folder;
  const std::vector<std::string> files = {
      file_of("{}"),
      file_of("{}\r \t\n"),
      file_of("\t\n{}\r "),
      file_of(R"({"__metadata__":null})"),
      file_of(R"({"__metadata__":{}})"),
      file_of(braces(entry("test", "F32", "[2,0]", "[0,0]"))),
      file_of(braces(entry("test", "F32", "[]", "[0,4]")), "abcd"),
      file_of(braces(entry("a", "U8", "[1]", "[0,1]") + "," + entry("b", "U8", "[0]", "[0,0]")), "a"),
      file_of(
          R"({"a":{"dtype":"U8","note":{"deep":[[1,{"x":null}]]},"shape":[1],"data_offsets":[0,1],"n":-1.5}})",
          "a"),
      file_of(braces(entry("a", "F8_E4M3", "[1]", "[0,1]")), "a"),
  };
  for (const std::string& bytes : files) {
    CAPTURE(bytes);
    CHECK(error_of(folder, bytes) == "accepted");
  }
}

TEST_CASE("safetensors: a header of nothing but brackets neither recurses nor allocates") {
  const TempFolder folder;
  CHECK(contains(error_of(folder, file_of(std::string(5'000'000, '['))), "expected an object"));
  const std::string nested =
      fmt::format(R"({{"a":{{"x":{}{},"dtype":"U8","shape":[0],"data_offsets":[0,0]}}}})",
                  std::string(2'000'000, '['), std::string(2'000'000, ']'));
  CHECK(error_of(folder, file_of(nested)) == "accepted");
}

TEST_CASE("safetensors: the reference writer's bytes") {
  const TempFolder folder;
  const auto written = [&](std::vector<st::Source> sources, const st::Metadata& metadata = {}) {
    st::write(folder / "w.safetensors", std::move(sources), metadata);
    return testing::read_bytes(folder / "w.safetensors");
  };
  CHECK(written({}) == file_of("{}      "));
  CHECK(written({}, {{"framework", "pt"}}) == file_of(R"({"__metadata__":{"framework":"pt"}}     )"));
  CHECK(
      written({zeros_of("attn.0", "F32", {1, 2, 3}, 24)}) ==
      file_of(R"({"attn.0":{"dtype":"F32","shape":[1,2,3],"data_offsets":[0,24]}})", std::string(24, '\0')));
  CHECK(written({zeros_of("attn0", "F32", {1, 1, 2, 3}, 24)}) ==
        file_of(R"({"attn0":{"dtype":"F32","shape":[1,1,2,3],"data_offsets":[0,24]}}       )",
                std::string(24, '\0')));
  CHECK(written({zeros_of("test", "I32", {2, 2}, 16)}) ==
        file_of(R"({"test":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]}}    )", kZeros16));
  // By dtype descending in the reference's list (I64 above F32 above U8), then by name; names escaped as
  // JSON.
  CHECK(
      written({zeros_of("b", "F32", {1}, 4), zeros_of("u", "U8", {1}, 1),
               zeros_of("a\"\n\xC3\xA9", "F32", {}, 4), zeros_of("z", "I64", {}, 8)},
              st::pytorch_metadata()) ==
      file_of(padded(R"({"__metadata__":{"format":"pt"},"z":{"dtype":"I64","shape":[],"data_offsets":[0,8]},)"
                     "\"a\\\"\\n\xC3\xA9\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[8,12]},"
                     R"("b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]},)"
                     R"("u":{"dtype":"U8","shape":[1],"data_offsets":[16,17]}})"),
              std::string(17, '\0')));
}

TEST_CASE("safetensors: sizes of published files") {
  // Header length of the files transformers writes for these models, from their names and shapes alone.
  const auto header_length = [](const char* arch, std::int64_t labels) {
    nn::Context context(cpu_backend());
    models::ModelConfig config = models::config_for(arch);
    if (labels > 0) config.labels = models::default_labels(labels);
    const auto model = models::make_classifier(config, context);
    const TempFolder folder;
    nn::save(*model, folder / "m.safetensors");
    std::uint64_t length = 0;
    std::memcpy(&length, testing::read_bytes(folder / "m.safetensors").data(), 8);
    return std::pair(length, std::filesystem::file_size(folder / "m.safetensors"));
  };
  CHECK(header_length("resnet-18", 0) == std::pair<std::uint64_t, std::uintmax_t>(15'712, 46'812'328));
  CHECK(header_length("resnet-50", 0) == std::pair<std::uint64_t, std::uintmax_t>(41'816, 102'482'856));
  CHECK(header_length("vit-base-patch16-224", 2) ==
        std::pair<std::uint64_t, std::uintmax_t>(23'184, 343'223'968));
}

TEST_CASE("safetensors: what cannot be written") {
  const TempFolder folder;
  const std::filesystem::path path = folder / "x.safetensors";
  CHECK_THROWS_WITH(st::write(path, {zeros_of("__metadata__", "U8", {1}, 1)}), doctest::Contains("reserved"));
  CHECK_THROWS_WITH(st::write(path, {zeros_of("a", "U8", {1}, 1), zeros_of("a", "F32", {1}, 4)}),
                    doctest::Contains("twice"));
  CHECK_THROWS_WITH(st::write(path, {zeros_of("a", "F33", {1}, 4)}), doctest::Contains("F33"));
  CHECK_THROWS_WITH(st::write(path, {zeros_of("a", "F32", {2}, 4)}),
                    doctest::Contains("has 4 bytes, expected 8"));
  CHECK_THROWS_WITH(st::write(path, {zeros_of("a", "F4", {1, 3}, 2)}),
                    doctest::Contains("cannot have shape"));
  CHECK_THROWS_WITH(st::write(path, {zeros_of("\xff", "U8", {1}, 1)}), doctest::Contains("UTF-8"));
  CHECK_THROWS_WITH(st::write(path, {}, {{"a", std::string(100'000'000, 'a')}}), doctest::Contains("limit"));
  CHECK_THROWS_WITH(st::write(folder / "missing/x.safetensors", {}),
                    doctest::Contains("missing/x.safetensors"));
  CHECK(std::filesystem::is_empty(folder.path()));  // nothing half-written, no temporary file
}

TEST_CASE("safetensors: a failed write leaves the old file") {
  const TempFolder folder;
  st::write(folder / "x.safetensors", {zeros_of("old", "U8", {3}, 3)});
  CHECK_THROWS_AS(st::write(folder / "x.safetensors", {zeros_of("new", "U8", {3}, 4)}), Error);
  CHECK(st::File::open(folder / "x.safetensors").find("old") != nullptr);
}

TEST_CASE("safetensors: every dtype decodes, at any alignment") {
  const TempFolder folder;
  // An odd header length puts every tensor at an odd address.
  std::string header =
      braces(entry("pad", "U8", "[1]", "[0,1]") + "," + entry("f32", "F32", "[2]", "[1,9]") + "," +
             entry("f64", "F64", "[2]", "[9,25]") + "," + entry("f16", "F16", "[6]", "[25,37]") + "," +
             entry("bf16", "BF16", "[3]", "[37,43]") + "," + entry("i64", "I64", "[2]", "[43,59]") + "," +
             entry("i32", "I32", "[1]", "[59,63]") + "," + entry("i16", "I16", "[1]", "[63,65]") + "," +
             entry("i8", "I8", "[1]", "[65,66]") + "," + entry("bool", "BOOL", "[2]", "[66,68]"));
  if (header.size() % 2 == 1) header += " ";
  const std::string data = raw<std::uint8_t>({200}) + raw<float>({1.5f, -0.1f}) + raw<double>({1e-300, 0.1}) +
                           raw<std::uint16_t>({0x3C00, 0xC000, 0x0001, 0x7BFF, 0x7C00, 0x83FF}) +
                           raw<std::uint16_t>({0x3F80, 0xC000, 0x7F80}) + raw<std::int64_t>({-5, 1LL << 40}) +
                           raw<std::int32_t>({-7}) + raw<std::int16_t>({-9}) + raw<std::int8_t>({-11}) +
                           raw<std::uint8_t>({0, 1});
  testing::write_bytes(folder / "d.safetensors", file_of(header, data));
  const st::File file = st::File::open(folder / "d.safetensors");
  Backend& cpu = cpu_backend();

  CHECK(st::values_of<float>(file.at("f32")) == std::vector<float>{1.5f, -0.1f});
  CHECK(st::values_of<double>(file.at("f64")) == std::vector<double>{1e-300, 0.1});
  CHECK(to_host<float>(st::read(file.at("f64"), cpu, DType::f32)) == std::vector<float>{0.0f, 0.1f});
  CHECK(to_host<double>(st::read(file.at("f32"), cpu, DType::f64))[1] == static_cast<double>(-0.1f));
  CHECK(st::values_of<float>(file.at("f16")) ==
        std::vector<float>{1.0f, -2.0f, 0x1p-24f, 65504.0f, INFINITY, -1023 * 0x1p-24f});
  CHECK(st::values_of<float>(file.at("bf16")) == std::vector<float>{1.0f, -2.0f, INFINITY});
  CHECK(st::values_of<std::int64_t>(file.at("i64")) == std::vector<std::int64_t>{-5, 1LL << 40});
  CHECK(st::values_of<float>(file.at("i32")) == std::vector<float>{-7});
  CHECK(st::values_of<std::int64_t>(file.at("i16")) == std::vector<std::int64_t>{-9});
  CHECK(st::values_of<std::int32_t>(file.at("i8")) == std::vector<std::int32_t>{-11});
  CHECK(st::values_of<std::uint8_t>(file.at("bool")) == std::vector<std::uint8_t>{0, 1});
  CHECK(st::dtype_of(file.at("bool")) == DType::u8);

  CHECK_THROWS_WITH(st::values_of<std::int32_t>(file.at("i64")), doctest::Contains("does not fit"));
  CHECK_THROWS_WITH(st::values_of<std::int64_t>(file.at("f32")), doctest::Contains("cannot be read as i64"));
  CHECK_THROWS_WITH(file.at("none"), doctest::Contains("has no tensor \"none\""));
}

TEST_CASE("safetensors: tensors survive a round trip bit for bit") {
  const TempFolder folder;
  Backend& cpu = cpu_backend();
  std::mt19937 random(1);
  std::vector<float> values(60);
  for (float& value : values) value = static_cast<float>(static_cast<int>(random())) * 1e-5f;
  values[0] = NAN;
  const Tensor floats = from_host(cpu, {3, 4, 5}, values);
  const Tensor counter = from_host(cpu, {}, std::vector<std::int64_t>{42});
  st::write(folder / "r.safetensors",
            {st::source_of("floats", floats), st::source_of("row", floats.slice(1, 2)),
             st::source_of("counter", counter), st::source_of("none", floats.slice(0, 0))},
            {{"who", "sagitta"}});
  const st::File file = st::File::open(folder / "r.safetensors");
  CHECK(file.metadata() == st::Metadata{{"who", "sagitta"}});
  CHECK(file.entries().size() == 4);
  const auto read = st::values_of<float>(file.at("floats"));
  CHECK(std::memcmp(read.data(), values.data(), 240) == 0);
  CHECK(st::values_of<float>(file.at("row")) == std::vector<float>(values.begin() + 20, values.begin() + 40));
  CHECK(file.at("row").shape == std::vector<std::int64_t>{1, 4, 5});
  CHECK(file.at("none").shape == std::vector<std::int64_t>{0, 4, 5});
  CHECK(st::values_of<std::int64_t>(file.at("counter")) == std::vector<std::int64_t>{42});
  Tensor wrong(cpu, {3, 5, 4}, DType::f32);
  CHECK_THROWS_WITH(st::read_into(file.at("floats"), wrong), doctest::Contains("expected [3, 5, 4]"));
}

TEST_CASE("safetensors: a view lies in the file, and what is written to it never reaches the file") {
  const TempFolder folder;
  Backend& cpu = cpu_backend();
  const std::vector<float> values{1, 2, 3, 4};
  const std::filesystem::path path = folder / "v.safetensors";
  st::write(path, {st::source_of("a", from_host(cpu, {2, 2}, values)),
                   st::source_of("odd", from_host(cpu, {1}, std::vector<std::uint8_t>{7}))});
  const auto before = sagitta::testing::read_bytes(path);
  Tensor view;
  {
    const st::File file = st::File::open(path);
    view = file.view(file.at("a"), cpu);
    CHECK(static_cast<const void*>(view.raw()) == static_cast<const void*>(file.at("a").bytes.data()));
    st::Entry misaligned = file.at("a");
    misaligned.bytes = misaligned.bytes.subspan(1);
    CHECK(!file.view(misaligned, cpu));
    misaligned.dtype = "F8_E4M3";
    CHECK(!file.view(misaligned, cpu));
  }
  // The mapping lives as long as the tensor does, the file gone or not.
  CHECK(to_host<float>(view) == values);
  cpu.fill(view, 9);
  CHECK(sagitta::testing::read_bytes(path) == before);
  std::filesystem::remove(path);
  CHECK(to_host<float>(view) == std::vector<float>(4, 9));
}
