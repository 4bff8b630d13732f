// Model files in C++: the bytes of Python's, and no damaged or forged file gets through. Run under
// AddressSanitizer by the preset "sanitize".

#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "check.hpp"
#include "io/container.hpp"
#include "io/files.hpp"
#include "io/schemas.hpp"
#include "io/sha256.hpp"
#include "vemfast/model_file.hpp"

namespace {

namespace fs = std::filesystem;
using vemfast::ModelFileError;
using vemfast::io::Container;
using vemfast::io::Json;
using vemfast::io::Tensor;

const fs::path kModels = fs::path(VEMFAST_TEST_DATA) / "models";

std::vector<fs::path> model_files() {
    std::vector<fs::path> out;
    for (const auto& entry : fs::directory_iterator(kModels)) {
        if (entry.path().extension() == ".safetensors")
            out.push_back(entry.path());
    }
    return out;
}

std::string bytes_of(const char* name) {
    return vemfast::io::read_file((kModels / name).string());
}

// What is said of these bytes; empty where they are a model.
std::string complaint(const std::string& bytes) {
    try {
        vemfast::io::check_model(vemfast::io::parse_container(bytes));
    } catch (const ModelFileError& error) {
        return error.what();
    }
    return "";
}

bool says(const std::string& bytes, const std::string& beginning) {
    const std::string message = complaint(bytes);
    if (!message.starts_with(beginning))
        std::printf("        expected: %s\n        got:      %s\n", beginning.c_str(),
                    message.c_str());
    return message.starts_with(beginning);
}

std::string with_header(const std::string& header, const std::string& data = "") {
    std::string out;
    for (int shift = 0; shift < 64; shift += 8)
        out += static_cast<char>(header.size() >> shift & 0xFF);
    return out + header + data;
}

std::string with_document(const std::string& text) {
    std::string quoted;
    vemfast::io::append_quoted(quoted, text, false);
    return with_header(R"({"__metadata__":{"vemfast":)" + quoted + "}}");
}

// The file once more, after a change, with a right digest.
std::string forged(const char* name, const std::function<void(Container&)>& change) {
    Container file = vemfast::io::parse_container(bytes_of(name));
    change(file);
    return vemfast::io::to_bytes(file);
}

std::function<void(Container&)> fitted(const char* name, Json value) {
    return [=](Container& file) {
        Json fields = *file.document.find("fitted");
        fields.set(name, value);
        file.document.set("fitted", fields);
    };
}

std::function<void(Container&)> parameter(const char* name, Json value) {
    return [=](Container& file) {
        Json fields = *file.document.find("parameters");
        fields.set(name, value);
        file.document.set("parameters", fields);
    };
}

std::function<void(Container&)> number(const char* tensor, std::size_t index, double value) {
    return [=](Container& file) {
        Tensor& old = file.tensors.at(tensor);
        std::vector<double> values = old.values();
        values.at(index) = value;
        old = Tensor::of(old.shape, values.data());
    };
}

struct Folder {
    fs::path path;
    Folder() {
        std::string name = (fs::temp_directory_path() / "vemfast-XXXXXX").string();
        path = ::mkdtemp(name.data());
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder() { fs::remove_all(path); }
    std::string file(const char* name) const { return (path / name).string(); }
    std::size_t count() const {
        return static_cast<std::size_t>(
            std::distance(fs::directory_iterator(path), fs::directory_iterator()));
    }
};

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr const char* kSmall = "gaussian_mixture-1.0-tied-spherical.safetensors";
constexpr const char* kFull = "gaussian_mixture-1.0-full.safetensors";
constexpr const char* kProcess = "gaussian_mixture-1.0-mean-field.safetensors";
constexpr const char* kGibbs = "categorical_mixture-1.0-gibbs.safetensors";

// ---- the same bits ---------------------------------------------------------------------------

TEST_CASE(a_file_of_python_is_written_back_byte_for_byte) {
    const Folder folder;
    std::size_t n = 0;
    for (const fs::path& path : model_files()) {
        const Container file = vemfast::io::read_model(path.string(), "");
        CHECK(vemfast::model_class(path.string()) == vemfast::io::class_of(file));
        vemfast::io::write_container(folder.file("copy"), file);
        CHECK(vemfast::io::read_file(folder.file("copy")) == vemfast::io::read_file(path.string()));
        ++n;
    }
    CHECK(n >= 16);
}

TEST_CASE(numbers_are_written_as_python_writes_them) {
    const std::vector<std::pair<double, std::string>> known{
        {0.0, "0.0"},
        {-0.0, "-0.0"},
        {1.0, "1.0"},
        {-2.5, "-2.5"},
        {0.1, "0.1"},
        {1e-4, "0.0001"},
        {1e-5, "1e-05"},
        {1.5e-6, "1.5e-06"},
        {5e-324, "5e-324"},
        {1e15, "1000000000000000.0"},
        {1e16, "1e+16"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {123456.789, "123456.789"}};
    for (const auto& [value, text] : known)
        CHECK(Json::of_double(value).text == text);
}

TEST_CASE(text_is_escaped_as_python_escapes_it) {
    // A quote, a line end, an accent, an emoji, an unpaired surrogate, DEL.
    const std::string python = R"("\"\n\u00e9\ud83d\ude00\ud800\u0001)"
                               "\x7f\"";
    CHECK(to_text(vemfast::io::parse_json(python), true) == python);
    CHECK(to_text(vemfast::io::parse_json("[1e5,-0,null,true,{\"a\":[]}]"), true) ==
          "[1e5,-0,null,true,{\"a\":[]}]");
}

TEST_CASE(the_digest_is_sha_256) {
    vemfast::io::Sha256 abc;
    abc.update("abc");
    CHECK(abc.hex_digest() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    vemfast::io::Sha256 many;
    const std::string part(997, 'a');
    for (int i = 0; i < 1003; ++i)
        many.update(part);
    many.update(std::string(9, 'a'));
    CHECK(many.hex_digest() == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

// ---- damage ----------------------------------------------------------------------------------

TEST_CASE(a_file_cut_at_any_byte_is_refused) {
    const std::string content = bytes_of(kSmall);
    for (std::size_t end = 0; end < content.size(); ++end)
        CHECK(!complaint(content.substr(0, end)).empty());
    CHECK(!complaint(content + '\0').empty());
}

TEST_CASE(a_file_with_any_byte_flipped_is_refused_or_the_same) {
    std::string content = bytes_of(kSmall);
    std::size_t unnoticed = 0;
    for (const char flip : {'\xFF', '\x01', '\x20'}) {
        for (char& byte : content) {
            const char before = byte;
            byte = static_cast<char>(byte ^ flip);
            unnoticed += complaint(content).empty() ? 1 : 0;
            byte = before;
        }
    }
    CHECK(unnoticed <= 8);  // the padding of the header, at most
}

TEST_CASE(random_damage_is_refused) {
    const std::string content = bytes_of(kGibbs);
    std::mt19937 random(0);
    const auto below = [&](std::size_t n) {
        return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
    };
    for (int trial = 0; trial < 2000; ++trial) {
        std::string damaged = content;
        for (std::size_t n = below(6) + 1; n > 0; --n) {
            switch (below(3)) {
                case 0:
                    damaged[below(damaged.size())] = static_cast<char>(below(256));
                    break;
                case 1:
                    damaged.erase(below(damaged.size()), below(20));
                    break;
                default:
                    damaged.insert(below(damaged.size()), below(20) + 1,
                                   static_cast<char>(below(256)));
            }
        }
        CHECK(damaged == content || !complaint(damaged).empty());
    }
}

TEST_CASE(what_is_no_model_file) {
    constexpr const char* kDamaged = "not a safetensors file, or damaged: ";
    CHECK(says("", kDamaged));
    CHECK(says(std::string(8, '\0'), kDamaged));
    CHECK(says(std::string(16, '\xFF'), std::string(kDamaged) + "the header is too long"));
    CHECK(says(with_header("[]"), kDamaged));
    CHECK(says(with_header("{}"), "format: a safetensors file, but not a vemfast-model"));
    CHECK(says(with_header(R"({"__metadata__":{"format":"pt"}})"), "format: a safetensors file"));
    CHECK(says(with_header(R"({"__metadata__":{"vemfast":1}})"), kDamaged));
    CHECK(says(with_document("{}"), "format: not 'vemfast-model'"));
    CHECK(says(with_document("[1]"), "metadata: not a JSON object"));
    CHECK(says(with_document(std::string(100'000, '[')), "metadata: not a JSON document (nested"));
    CHECK(says(with_document(R"({"format":NaN})"), "metadata: not a JSON document ("));
    CHECK(says(with_document(R"({"a":1,"a":2})"), "metadata: not a JSON document (a key stands"));
    CHECK(says(with_document(R"({"format":"vemfast-model","version":"1.0"})"), "sha256: missing"));
    for (const char* version : {"2.0", "0.9", "1", ".", "1.", ".1", "-1.0", "1.-1", "1.0x", ""})
        CHECK(says(with_document(R"({"format":"vemfast-model","version":")" + std::string(version) +
                                 "\"}"),
                   "version: "));
    CHECK(says(with_header("{\"\xC3\x28\":{}}"), kDamaged));  // not UTF-8
}

TEST_CASE(tensors_that_lie_wrongly) {
    constexpr const char* kDamaged = "not a safetensors file, or damaged: ";
    const auto tensor = [](const char* name, const char* type, const char* shape,
                           const char* offsets) {
        return '"' + std::string(name) + R"(":{"dtype":")" + type + R"(","shape":)" + shape +
               R"(,"data_offsets":)" + offsets + "}";
    };
    const std::string data(32, '\0');
    const auto file = [&](const std::string& tensors) {
        return with_header("{" + tensors + "}", data);
    };
    CHECK(says(file(tensor("a", "F64", "[4]", "[0,32]")), "format: "));  // lies well
    CHECK(says(file(tensor("a", "F64", "[2]", "[0,16]")), kDamaged));    // ends early
    CHECK(says(file(tensor("a", "F64", "[8]", "[0,64]")), kDamaged));    // ends behind the file
    CHECK(says(file(tensor("a", "F64", "[2]", "[8,24]")), kDamaged));    // leaves a gap
    CHECK(
        says(file(tensor("a", "F64", "[4]", "[0,32]") + "," + tensor("b", "F64", "[2]", "[8,24]")),
             kDamaged));  // overlap
    CHECK(
        says(file(tensor("a", "F64", "[4]", "[0,32]") + "," + tensor("b", "F64", "[4]", "[0,32]")),
             kDamaged));
    CHECK(says(file(tensor("a", "F64", "[3]", "[0,32]")), kDamaged));
    CHECK(says(file(tensor("a", "F64", "[-4]", "[0,32]")), kDamaged));
    CHECK(says(file(tensor("a", "F64", "[4.0]", "[0,32]")), kDamaged));
    CHECK(says(file(tensor("a", "F64", "[4]", "[32,0]")), kDamaged));
    CHECK(says(file(tensor("a", "F64", "[4]", "[0]")), kDamaged));
    CHECK(says(file(tensor("a", "F64", "[4611686018427387904,8]", "[0,32]")), kDamaged));
    CHECK(says(file(tensor("a", "F64", "[99999999999999999999]", "[0,32]")), kDamaged));
    CHECK(says(file(tensor("a", "F4", "[64]", "[0,32]")), "a tensor that is not an array"));
    CHECK(says(file(R"("a":{"dtype":"F64","shape":[4]})"), kDamaged));
    CHECK(says(file(R"("a":3)"), kDamaged));
}

// ---- forgery ---------------------------------------------------------------------------------

TEST_CASE(a_forged_file_is_refused_by_the_name_of_the_field) {
    const auto drop = [](const char* name) {
        return [=](Container& file) { file.tensors.erase(name); };
    };
    const auto reshape = [](const char* name, std::vector<std::int64_t> shape) {
        return [=](Container& file) { file.tensors.at(name).shape = shape; };
    };
    const auto add = [](const char* name) {
        return [=](Container& file) {
            const double zero = 0;
            file.tensors[name] = Tensor::of({}, &zero);
        };
    };
    const auto retype = [](Container& file) { file.tensors.at("means_").type = "I64"; };
    const std::vector<std::pair<std::function<void(Container&)>, const char*>> forgeries{
        {[](Container&) {}, ""},
        {number("weights_", 0, 1.5), "weights_: not between 0 and 1"},
        {number("weights_", 0, 0.0), "weights_: sums to"},
        {number("weights_", 0, kNaN), "weights_: not finite"},
        {number("means_", 1, kNaN), "means_: not finite"},
        {number("covariances_", 0, -1.0), "covariances_: diagonal: not positive"},
        {number("covariances_", 1, 1e9), "covariances_: not symmetric"},
        {number("precisions_cholesky_", 2, 1.0), "precisions_cholesky_: not upper triangular"},
        {reshape("means_", {4}), "means_: shape (4), expected (2, 2)"},
        {retype, "means_: holds I64, not F64"},
        {drop("covariances_"), "covariances_: missing"},
        {drop("lower_bounds_"), "lower_bounds_: missing"},
        {add("extra_"), "extra_: does not belong to a GaussianMixture"},
        {add("mean_precision_"), "weight_concentration_: missing"},
        {fitted("n_iter_", Json::of_integer(-1)), "n_iter_: -1 is less than 0"},
        {fitted("n_iter_", Json::of_double(1.5)), "n_iter_: not an int"},
        {fitted("converged_", Json::of_integer(1)), "converged_: not a bool"},
        {fitted("stop_reason_", Json::of("luck")), "stop_reason_: 'luck' is none of"},
        {fitted("lower_bound_", Json::of_integer(3)), "lower_bound_: not a finite float"},
        {fitted("n_features_in_", Json::of_integer(0)), "n_features_in_: missing, or not"},
        {fitted("n_features_in_", Json::of_integer(3)), "origin_: shape (2), expected (3)"},
        {fitted("n_features_in_", Json::of_integer(1LL << 50)), "n_features_in_: 1125899906842624"},
        {fitted("feature_names_in_", Json::of("abc")), "feature_names_in_: not a list of names"},
        {fitted("means_", Json::of_integer(1)), "means_: stands twice"},
        {fitted("fit", Json::of("x")), "fit: does not belong to a GaussianMixture"},
        {parameter("n_components", Json::of_integer(3)), "weights_: shape (2), expected (3)"},
        {parameter("n_components", Json::of_integer(0)), "parameters: n_components is less than"},
        {parameter("n_components", Json::of("2")), "parameters: n_components is not an int"},
        {parameter("covariance_type", Json::of("round")), "parameters: covariance_type is none"},
        {parameter("covariance_type", Json::of("diag")), "covariances_: shape"},
        {[](Container& file) { file.document.set("estimator", Json::of("os.system")); },
         "estimator: 'os.system' is no class"},
        {[](Container& file) { file.document.set("fitted", Json::of(true)); },
         "fitted: missing, or not an object"},
        {[](Container& file) { file.document.set("version", Json::of("2.0")); },
         "version: the file has format 2.0, this vemfast reads up to 1.x; use a newer vemfast"},
    };
    for (const auto& [change, message] : forgeries)
        CHECK(says(forged(kFull, change), message));
}

TEST_CASE(a_forged_posterior_is_refused) {
    CHECK(says(forged(kProcess, number("mean_precision_", 0, 0.0)), "mean_precision_: not pos"));
    CHECK(says(forged(kProcess, number("degrees_of_freedom_", 0, 0.0)), "degrees_of_freedom_: "));
    CHECK(says(forged(kProcess, parameter("equal_weights", Json::of(true))),
               "weight_concentration_: shape (2, 2), expected (2)"));
    CHECK(says(forged(kGibbs, number("posterior_.weights", 0, 2.0)), "posterior_.weights: not b"));
    CHECK(says(forged(kGibbs, number("n_categories_", 0, 2.5)), "n_categories_: not numbers of c"));
    CHECK(says(forged(kGibbs, number("n_categories_", 0, 4.0)), "probabilities_.0: another numb"));
}

TEST_CASE(a_later_minor_version_may_hold_more) {
    const auto later = [](Container& file) {
        file.document.set("version", Json::of("1.7"));
        fitted("colour_", Json::of("red"))(file);
        file.tensors["heat_"] = Tensor{"I8", {3}, "abc"};
    };
    const std::string bytes = forged(kFull, later);
    CHECK(complaint(bytes).empty());
    CHECK(to_bytes(vemfast::io::parse_container(bytes)) == bytes);
}

TEST_CASE(a_model_of_another_kind_is_refused) {
    const std::string path = (kModels / "poisson_mixture-1.0-em.safetensors").string();
    try {
        vemfast::io::read_model(path, "GaussianMixture");
        CHECK(false);
    } catch (const ModelFileError& error) {
        CHECK(error.what() ==
              path + ": estimator: the file holds a PoissonMixture, not a GaussianMixture");
    }
}

// ---- files -----------------------------------------------------------------------------------

TEST_CASE(a_file_appears_whole_and_keeps_its_permissions_and_links) {
    const Folder folder;
    const std::string target = folder.file("model");
    vemfast::io::write_file(target, "old");
    ::chmod(target.c_str(), 0640);
    fs::create_symlink("model", folder.file("link"));
    std::ofstream(folder.file(".model.0123abcd.vemfast-tmp")) << "left by a killed process";
    std::ofstream(folder.file(".model.0123abcd.vemfast-txt")) << "not ours";
    vemfast::io::write_file(folder.file("link"), "new");
    CHECK(fs::is_symlink(folder.file("link")));
    CHECK(vemfast::io::read_file(target) == "new");
    struct stat status{};
    CHECK(::stat(target.c_str(), &status) == 0 && (status.st_mode & 0777) == 0640);
    CHECK(folder.count() == 3);
}

TEST_CASE(what_cannot_be_read_or_written_says_so) {
    const Folder folder;
    const std::string path = folder.path.string();
    CHECK_THROWS(vemfast::io::read_file(folder.file("nothing")), std::system_error);
    CHECK_THROWS(vemfast::io::read_file(path), std::system_error);
    CHECK_THROWS(vemfast::io::write_file(path, "x"), std::system_error);
    CHECK_THROWS(vemfast::io::write_file(path + "/no/where", "x"), std::system_error);
    CHECK(::mkfifo(folder.file("pipe").c_str(), 0600) == 0);
    CHECK_THROWS(vemfast::io::read_file(folder.file("pipe")), ModelFileError);
    CHECK(folder.count() == 1);
}

}  // namespace
