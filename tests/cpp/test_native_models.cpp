// Fitted models behind the C++ and the C interface: Python's numbers for its files, and bad input
// that gives a status and leaks nothing. Run under AddressSanitizer by the preset "sanitize";
// tests/contracts/test_native_callers.py compares bit for bit.

#ifdef __linux__
#include <sys/inotify.h>
#endif
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <numbers>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "check.hpp"
#include "io/files.hpp"
#include "io/json.hpp"
#include "io/schemas.hpp"
#include "vemfast/hmm.hpp"
#include "vemfast/load.hpp"
#include "vemfast/mixture.hpp"
#include "vemfast/random.hpp"
#include "vemfast/vemfast.h"

namespace {

namespace fs = std::filesystem;
using vemfast::Attributes;
using vemfast::Mixture;
using vemfast::ModelFileError;
using vemfast::Rows;
using vemfast::io::Json;

const fs::path kModels = fs::path(VEMFAST_TEST_DATA) / "models";

std::string file(const char* name) {
    return (kModels / name).string();
}

Rows rows_of(const std::vector<double>& numbers, std::int64_t D) {
    const auto n = static_cast<std::int64_t>(numbers.size()) / D;
    return Rows(vemfast::MatrixView<const double>{numbers.data(), n, D, D});
}

bool close(double left, double right) {
    return std::abs(left - right) <= 1e-12 * std::max(std::abs(left), 1.0);
}

std::vector<double> noise(std::size_t size) {
    vemfast::random::Stream stream(1, 0, 0, 0);
    std::vector<double> out(size);
    for (double& value : out)
        value = stream.normal();
    return out;
}

// A mixture of two diagonal Gaussians in two dimensions.
Attributes two_components() {
    Attributes of;
    of.class_name = "GaussianMixture";
    of.n_features = 2;
    of.parameters = {{"n_components", std::int64_t{2}}, {"covariance_type", std::string("diag")}};
    of.arrays = {{"weights_", {{2}, {0.25, 0.75}}},
                 {"origin_", {{2}, {0, 0}}},
                 {"means_", {{2, 2}, {0, 0, 3, 1}}},
                 {"covariances_", {{2, 2}, {1, 4, 0.25, 1}}}};
    return of;
}

TEST_CASE(files_of_python_give_its_numbers) {
    std::size_t n_files = 0;
    for (const auto& entry : fs::directory_iterator(kModels)) {
        if (entry.path().extension() != ".json")
            continue;
        const Json expected =
            vemfast::io::parse_json(vemfast::io::read_file(entry.path().string()));
        const auto model =
            Mixture::load(fs::path(entry.path()).replace_extension(".safetensors").string());
        CHECK(model.class_name() == expected.find("estimator")->text);
        std::vector<double> numbers;
        for (const Json& row : expected.find("rows")->items) {
            for (const Json& number : row.items)
                numbers.push_back(std::stod(number.text));
        }
        const auto found =
            model.score_samples(rows_of(numbers, static_cast<std::int64_t>(model.n_features())));
        const auto& density = expected.find("log_density")->items;
        CHECK(found.size() == density.size());
        for (std::size_t i = 0; i < found.size(); ++i)
            CHECK(close(found[i], std::stod(density[i].text)));
        ++n_files;
    }
    CHECK(n_files >= 16);
}

TEST_CASE(a_model_is_made_of_attributes) {
    const Mixture model(two_components());
    const std::vector<double> x{0, 0, 3, 1, 1, -2};
    const Rows rows = rows_of(x, 2);
    const auto density = model.score_samples(rows);
    const auto share = model.responsibilities(rows);
    const auto labels = model.predict(rows);
    for (std::size_t i = 0; i < 3; ++i) {
        const double u = x[2 * i];
        const double v = x[2 * i + 1];
        const double first = 0.25 * std::exp(-0.5 * (u * u + v * v / 4)) / (4 * std::numbers::pi);
        const double second = 0.75 *
                              std::exp(-0.5 * ((u - 3) * (u - 3) / 0.25 + (v - 1) * (v - 1))) /
                              std::numbers::pi;
        CHECK(close(density[i], std::log(first + second)));
        CHECK(close(share[2 * i], first / (first + second)));
        CHECK(labels[i] == (first > second ? 0 : 1));
    }
    CHECK(close(model.array("precisions_").values[1], 0.25));
    CHECK_THROWS(model.array("colour_"), std::invalid_argument);
    auto narrow = two_components();
    narrow.arrays["means_"] = {{2, 2}, {0, 0, 3}};
    CHECK_THROWS(Mixture{narrow}, std::invalid_argument);
    auto heavy = two_components();
    heavy.arrays["weights_"].values[0] = 0.5;
    CHECK_THROWS(Mixture{heavy}, ModelFileError);
    auto other = two_components();
    other.class_name = "GaussianHMM";
    CHECK_THROWS(Mixture{other}, ModelFileError);
}

TEST_CASE(what_cannot_be_saved_is_named) {
    auto endless = two_components();
    endless.parameters["tol"] = std::numeric_limits<double>::infinity();
    try {
        const Mixture model(endless);
        CHECK(false);
    } catch (const std::invalid_argument& error) {
        CHECK(std::string(error.what()).find("tol=inf cannot be saved") != std::string::npos);
    }
    auto folded = two_components();
    folded.arrays["parameter.means_init"] = {{-1, -4}, {0, 0, 3, 1}};
    CHECK_THROWS(Mixture{folded}, std::invalid_argument);
}

TEST_CASE(a_fit_keeps_its_options) {
    const std::vector<double> x{0, 0, 0.1, 0.2, -0.1, 0.1, 3, 1, 3.1, 1.2, 2.9, 0.8};
    vemfast::GaussianMixtureOptions options;
    options.n_components = 2;
    options.covariance_type = vemfast::CovarianceType::diag;
    options.inference = vemfast::Inference::mean_field;
    options.start = vemfast::Start::random;
    options.weight_concentration_prior = 0.5;
    options.mean_prior = {1, 2};
    options.covariance_prior = {0.5, 0.25};
    const auto fit = vemfast::fit(rows_of(x, 2), options, 7, 1);
    const Mixture model(fit, options);
    CHECK(model.array("parameter.mean_prior").values == options.mean_prior);
    CHECK(model.array("parameter.covariance_prior").shape == std::vector<std::int64_t>{2});
    const fs::path path = fs::temp_directory_path() / ("options_" + std::to_string(::getpid()));
    model.save(path.string());
    const std::string text = vemfast::io::read_file(path.string());
    CHECK(text.find("random") != std::string::npos);
    CHECK(text.find("weight_concentration_prior") != std::string::npos);
    fs::remove(path);
}

TEST_CASE(a_fit_is_saved_under_the_rung_that_was_asked_for) {
    const std::vector<double> x = noise(60);
    vemfast::GaussianMixtureOptions options;
    const fs::path path = fs::temp_directory_path() / ("rung_" + std::to_string(::getpid()));
    for (const auto& [rung, name] : {std::pair{vemfast::Inference::em, "em"},
                                     {vemfast::Inference::hard_em, "hard-em"},
                                     {vemfast::Inference::mean_field, "mean-field"},
                                     {vemfast::Inference::variational_em, "variational-em"}}) {
        options.inference = rung;
        Mixture(vemfast::fit(rows_of(x, 2), options), options).save(path.string());
        const auto saved = vemfast::io::read_model(path.string(), "GaussianMixture");
        CHECK(saved.document.find("parameters")->find("inference")->text == name);
        vemfast::FitOptions by_name;
        by_name.parameters["inference"] = std::string(name);
        Mixture::fit("GaussianMixture", rows_of(x, 2), by_name).save(path.string());
        const auto again = vemfast::io::read_model(path.string(), "GaussianMixture");
        CHECK(again.document.find("parameters")->find("inference")->text == name);
    }
    fs::remove(path);
}

TEST_CASE(a_chain_is_made_of_attributes) {
    Attributes of;
    of.class_name = "BernoulliHMM";
    of.n_features = 1;
    of.parameters = {{"n_components", std::int64_t{2}}};
    of.arrays = {{"startprob_", {{2}, {0.5, 0.5}}},
                 {"transmat_", {{2, 2}, {0.9, 0.1, 0.2, 0.8}}},
                 {"probabilities_", {{2, 1}, {0.9, 0.3}}}};
    const vemfast::HiddenMarkov model(of);
    const std::vector<double> x{1, 0};
    // The four paths of two steps.
    const double a = 0.5 * 0.9 * (0.9 * 0.1 + 0.1 * 0.7);
    const double b = 0.5 * 0.3 * (0.2 * 0.1 + 0.8 * 0.7);
    CHECK(close(model.score(rows_of(x, 1)), std::log(a + b)));
    const auto best = model.decode(rows_of(x, 1));
    CHECK(best.states == std::vector<std::int32_t>({1, 1}));
    CHECK(close(best.log_joint[0], std::log(0.5 * 0.3 * 0.8 * 0.7)));
    const std::vector<std::int64_t> lengths{1, 1};
    CHECK(model.score_sequences(rows_of(x, 1), lengths).size() == 2);
    const std::vector<std::int64_t> longer{1, 2};
    CHECK_THROWS(model.score(rows_of(x, 1), longer), std::invalid_argument);
    const std::vector<double> twos{2, 0};
    CHECK_THROWS(model.score(rows_of(twos, 1)), std::invalid_argument);
}

TEST_CASE(versions_must_agree) {
    vemfast::check_version();
    CHECK(std::string(vemfast::version()) == VEMFAST_VERSION);
    CHECK_THROWS(vemfast::check_version("99.1.0"), std::runtime_error);
    CHECK_THROWS(vemfast::check_version(nullptr), std::runtime_error);
}

// ---- C -----------------------------------------------------------------------------------------

TEST_CASE(every_file_through_c_and_every_function_for_the_wrong_kind) {
    const std::vector<double> x = noise(8);
    const vemfast_rows rows = VEMFAST_ROWS(x.data(), 4, 2);
    std::vector<double> out(64);
    std::vector<std::int32_t> states(4);
    for (const auto& entry : fs::directory_iterator(kModels)) {
        if (entry.path().extension() != ".safetensors")
            continue;
        vemfast_model* model = nullptr;
        CHECK(vemfast_load(entry.path().c_str(), &model) == VEMFAST_OK);
        CHECK(vemfast_decode(model, &rows, nullptr, 1, nullptr, states.data(), 4, nullptr) ==
              VEMFAST_INVALID_ARGUMENT);
        CHECK(vemfast_posteriors(model, &rows, nullptr, 1, nullptr, out.data(), 8) ==
              VEMFAST_INVALID_ARGUMENT);
        CHECK(vemfast_transform(model, &rows, nullptr, out.data(), 8) == VEMFAST_INVALID_ARGUMENT);
        CHECK(vemfast_transform_documents(model, nullptr, nullptr, out.data(), 8) ==
              VEMFAST_INVALID_ARGUMENT);
        CHECK(std::strstr(vemfast_message(), "not topics") != nullptr);
        // Normal numbers are neither bits nor counts nor codes.
        const bool gaussian = std::strcmp(vemfast_class_name(model), "GaussianMixture") == 0;
        CHECK(vemfast_score_samples(model, &rows, nullptr, out.data(), 4) ==
              (gaussian ? VEMFAST_OK : VEMFAST_INVALID_ARGUMENT));
        CHECK(vemfast_score_samples(model, &rows, nullptr, out.data(), 5) ==
              VEMFAST_INVALID_ARGUMENT);
        CHECK(vemfast_score_samples(model, nullptr, nullptr, out.data(), 4) ==
              VEMFAST_INVALID_ARGUMENT);
        vemfast_free(model);
    }
}

TEST_CASE(damaged_files_through_c) {
    const std::string content =
        vemfast::io::read_file(file("gaussian_mixture-1.0-tied-spherical.safetensors"));
    const std::string path =
        (fs::temp_directory_path() / ("vemfast-damaged-" + std::to_string(::getpid()))).string();
    for (std::size_t end = 0; end < content.size(); end += 37) {
        vemfast::io::write_file(path, content.substr(0, end));
        auto* model = reinterpret_cast<vemfast_model*>(1);
        CHECK(vemfast_load(path.c_str(), &model) == VEMFAST_MODEL_FILE);
        CHECK(model == nullptr);
        CHECK(std::strstr(vemfast_message(), path.c_str()) != nullptr);
    }
    fs::remove(path);
    vemfast_model* model = nullptr;
    CHECK(vemfast_load(path.c_str(), &model) == VEMFAST_SYSTEM);
}

TEST_CASE(a_fit_through_c) {
    const std::vector<double> x = noise(400);
    const vemfast_rows rows = VEMFAST_ROWS(x.data(), 200, 2);
    vemfast_gaussian_mixture_options options;
    vemfast_gaussian_mixture_options_init(&options);
    options.n_components = 3;
    vemfast_model* model = nullptr;
    CHECK(vemfast_fit_gaussian_mixture(&rows, &options, 1, nullptr, &model) == VEMFAST_OK);
    CHECK(vemfast_n_components(model) == 3 && vemfast_n_features(model) == 2);
    double score = 0;
    CHECK(vemfast_score(model, &rows, nullptr, &score) == VEMFAST_OK);
    double bound = 0;
    std::size_t size = 0;
    CHECK(vemfast_array_shape(model, "lower_bounds_", nullptr, 0, nullptr, &size) == VEMFAST_OK);
    std::vector<double> bounds(size);
    CHECK(vemfast_array(model, "lower_bounds_", bounds.data(), size) == VEMFAST_OK);
    bound = bounds.back();
    CHECK(close(score, bound / 200));  // em with a flat prior: the log likelihood
    CHECK(vemfast_array(model, "lower_bounds_", bounds.data(), size + 1) ==
          VEMFAST_INVALID_ARGUMENT);
    std::int64_t shape[1] = {0};
    CHECK(vemfast_array_shape(model, "means_", shape, 1, nullptr, nullptr) ==
          VEMFAST_INVALID_ARGUMENT);
    vemfast_free(model);

    options.n_components = 500;
    CHECK(vemfast_fit_gaussian_mixture(&rows, &options, 1, nullptr, &model) ==
          VEMFAST_INVALID_ARGUMENT);
    CHECK(model == nullptr);
}

#ifdef __linux__
TEST_CASE(a_file_is_read_once) {
    const std::string path =
        (fs::temp_directory_path() / ("vemfast-once-" + std::to_string(::getpid()))).string();
    fs::copy_file(file("gaussian_mixture-1.0-full.safetensors"), path);
    const int watch = ::inotify_init1(IN_NONBLOCK);
    CHECK(watch >= 0 && ::inotify_add_watch(watch, path.c_str(), IN_OPEN | IN_CLOSE) >= 0);
    // Opened and closed: equal events in a row would be told as one.
    const auto n_events = [&] {
        alignas(inotify_event) char events[4096];
        const auto size = ::read(watch, events, sizeof events);
        return size <= 0 ? 0 : static_cast<int>(size / static_cast<ssize_t>(sizeof(inotify_event)));
    };
    vemfast_model* model = nullptr;
    CHECK(vemfast_load(path.c_str(), &model) == VEMFAST_OK);
    vemfast_free(model);
    CHECK(n_events() == 2);
    CHECK(std::holds_alternative<Mixture>(vemfast::load(path)));
    CHECK(n_events() == 2);
    ::close(watch);
    fs::remove(path);
}
#endif

TEST_CASE(a_long_message_is_cut) {
    const std::string path(5000, 'x');
    vemfast_model* model = nullptr;
    CHECK(vemfast_load(path.c_str(), &model) == VEMFAST_SYSTEM);
    CHECK(std::strlen(vemfast_message()) < 1024);
}

}  // namespace
