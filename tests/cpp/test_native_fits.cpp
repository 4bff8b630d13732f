// Fits of every class through the C interface, and their files: forged ones whose digest is right,
// bad input, messages of threads. Run under AddressSanitizer by the preset "sanitize";
// tests/contracts/test_native_fits.py compares the fits with Python's, bit for bit.
// VEMFAST_FUZZ=n forges n files of each class in place of some.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "check.hpp"
#include "io/container.hpp"
#include "io/files.hpp"
#include "small_models.hpp"
#include "vemfast/fit.hpp"
#include "vemfast/hmm.hpp"
#include "vemfast/mixture.hpp"
#include "vemfast/vemfast.h"

namespace {

namespace fs = std::filesystem;
namespace io = vemfast::io;
using namespace small_models;

// Calls all that there is for a model, of whatever kind it is; what comes out is any status.
void use(const vemfast_model* model) {
    const vemfast_rows given = rows();
    const Corpus corpus;
    const auto documents = corpus.view();
    std::vector<double> out(4096);
    std::vector<std::int32_t> states(kRows);
    const std::size_t K = vemfast_n_components(model);
    const std::size_t D = vemfast_n_features(model);
    const auto n = static_cast<std::size_t>(kRows);
    if (K > 64 || D > 64)
        return;
    vemfast_predict(model, &given, nullptr, states.data(), n);
    vemfast_predict_proba(model, &given, nullptr, out.data(), n * K);
    vemfast_score_samples(model, &given, nullptr, out.data(), n);
    vemfast_score(model, &given, nullptr, out.data());
    vemfast_decode(model, &given, nullptr, 1, nullptr, states.data(), n, out.data());
    vemfast_posteriors(model, &given, nullptr, 1, nullptr, out.data(), n * K);
    vemfast_score_sequences(model, &given, nullptr, 1, nullptr, out.data(), 1);
    vemfast_transform_documents(model, &documents, nullptr, out.data(), 10 * K);
    vemfast_score_documents(model, &documents, nullptr, out.data(), 10);
    vemfast_transform(model, &given, nullptr, out.data(), n * K);
    const std::vector<float> z(2 * K, 0.5F);
    vemfast_inverse_transform(model, z.data(), 2, nullptr, out.data(), 2 * D);
}

// ---- fits ------------------------------------------------------------------------------------

TEST_CASE(every_class_on_every_rung) {
    for (const char* name : kClasses) {
        const bool is_net = std::strcmp(name, "VariationalAutoencoder") == 0;
        const bool is_mixed = std::strcmp(name, "GMMHMM") == 0;
        const bool is_chain = std::string(name).ends_with("HMM");
        for (const char* rung : {"em", "variational-em", "hard-em", "mean-field"}) {
            if (is_net && (std::strcmp(rung, "em") == 0 || std::strcmp(rung, "mean-field") == 0))
                continue;
            if (is_mixed && (std::strcmp(rung, "em") != 0 && std::strcmp(rung, "hard-em") != 0))
                continue;
            const Model one = fitted(name, rung, 1);
            CHECK(std::strcmp(vemfast_class_name(one.get()), name) == 0);
            use(one.get());
            const Model two = fitted(name, rung, 2);
            CHECK(is_chain || bytes_of(one.get()) == bytes_of(two.get()));
        }
    }
    for (const char* rung : {"mean-field", "variational-em", "hard-em"}) {
        const Model one = fitted("LatentDirichletAllocation", rung, 1);
        use(one.get());
        CHECK(bytes_of(one.get()) == bytes_of(fitted("LatentDirichletAllocation", rung, 2).get()));
    }
}

TEST_CASE(a_stop_is_a_stop_of_all_starts) {
    std::vector<double> x;
    for (int i = 0; i < 60; ++i)
        x.push_back(std::sin(i * 1.7) + (i % 3));
    vemfast::GaussianMixtureOptions options;
    options.n_components = 3;
    options.n_init = 4;
    options.tol = 0;
    int starts = 0;
    options.callback = [&](const vemfast::FitProgress& now) {
        starts += now.iteration == 0 ? 1 : 0;
        return now.iteration == 2;
    };
    const vemfast::Rows rows(vemfast::MatrixView<const double>{x.data(), 60, 1, 1});
    const auto fit = vemfast::fit(rows, options, 3);
    CHECK(starts == 1);
    CHECK(fit.stop_reason == vemfast::StopReason::callback);
    CHECK(fit.n_iter() == 2);
}

TEST_CASE(weights_are_as_many_as_rows) {
    const std::vector<double> x{0, 1, 2, 5, 6, 7};
    const std::vector<double> weights{1, 1, 1};
    const vemfast::Rows rows(vemfast::MatrixView<const double>{x.data(), 6, 1, 1},
                             vemfast::VectorView<const double>{weights.data(), 3, 1});
    CHECK_THROWS(vemfast::fit(rows, {}, 0), std::invalid_argument);
    vemfast::FitOptions options;
    options.parameters["n_components"] = std::int64_t{2};
    CHECK_THROWS(vemfast::Mixture::fit("PoissonMixture", rows, options), std::invalid_argument);
    const std::vector<vemfast::Rows> many(2, rows);
    const std::vector<std::uint64_t> states(2, 0);
    const auto fits = vemfast::fit_many(many, 1, {}, states);
    CHECK(fits.failures.size() == 2);
    CHECK(fits.failures[0].second == "there are 3 weights for 6 rows");
}

TEST_CASE(rows_without_a_pointer_are_refused) {
    vemfast::Rows rows;
    rows.n = 10;
    rows.n_features = 2;
    for (const char* name : {"GaussianMixture", "PoissonMixture"})
        CHECK_THROWS(vemfast::Mixture::fit(name, rows, {}), std::invalid_argument);
    CHECK_THROWS(vemfast::HiddenMarkov::fit("GaussianHMM", rows, {}, {}), std::invalid_argument);
    CHECK_THROWS(vemfast::fit(rows, {}), std::invalid_argument);
    const auto fits = vemfast::fit_many({&rows, 1}, 2, {}, std::vector<std::uint64_t>{0});
    CHECK(fits.failures.size() == 1);
}

TEST_CASE(words_and_truths_are_no_arrays) {
    const std::vector<double> x{0, 1, 2, 5, 6, 7};
    const vemfast::Rows rows(vemfast::MatrixView<const double>{x.data(), 6, 1, 1});
    for (const char* name : {"equal_weights", "inference"}) {
        vemfast::FitOptions options;
        options.arrays[name] = {{1}, {1}};
        CHECK_THROWS(vemfast::Mixture::fit("PoissonMixture", rows, options), std::invalid_argument);
    }
}

TEST_CASE(many_at_once) {
    std::vector<vemfast_rows> data(20, rows());
    data[3].n_rows = 0;
    std::vector<std::uint64_t> states(data.size());
    std::iota(states.begin(), states.end(), 1);
    const vemfast_call call{sizeof(vemfast_call), 2, nullptr, nullptr};
    std::vector<vemfast_model*> models(data.size());
    std::size_t failed = 0;
    const auto check_all = [&](const std::string& alone) {
        CHECK(failed == 1 && models[3] == nullptr);
        CHECK(std::strncmp(vemfast_message(), "data set 3: ", 12) == 0);
        const std::string first = bytes_of(models[0]);
        for (std::size_t i = 0; i < models.size(); ++i) {
            CHECK((models[i] == nullptr) == (i == 3));
            vemfast_free(models[i]);
        }
        CHECK(first == alone);
    };
    for (const char* name : {"GaussianMixture", "PoissonMixture", "BernoulliMixture", "PoissonHMM",
                             "GaussianHMM", "VariationalAutoencoder"}) {
        const bool is_chain = std::string(name).ends_with("HMM");
        std::vector<vemfast_parameter> all{number("n_components", kTwo),
                                           number(is_chain ? "n_iter" : "max_iter", kFew)};
        if (std::strcmp(name, "VariationalAutoencoder") == 0)
            all.push_back(number("hidden_layer_sizes", kFew));
        const auto options = options_of(name, all);
        CHECK(vemfast_fit_many(&options, data.data(), data.size(), nullptr, nullptr, states.data(),
                               &call, models.data(), &failed) == VEMFAST_OK);
        check_all(bytes_of(fitted(name, nullptr, 1).get()));
    }
    const Corpus corpus;
    std::vector<vemfast_documents> corpora(data.size(), corpus.view());
    corpora[3].n_documents = 0;
    const std::vector<vemfast_parameter> all{number("n_components", kTwo),
                                             number("max_iter", kFew)};
    const auto options = options_of("LatentDirichletAllocation", all);
    CHECK(vemfast_fit_many_documents(&options, corpora.data(), corpora.size(), 7, states.data(),
                                     &call, models.data(), &failed) == VEMFAST_OK);
    check_all(bytes_of(fitted("LatentDirichletAllocation", nullptr, 1).get()));
}

// ---- forged files ----------------------------------------------------------------------------

class Forger {
  public:
    explicit Forger(unsigned seed) : random_(seed) {}

    // A file of a right digest, with other contents.
    std::string forge(const std::string& content) {
        io::Container file = io::parse_container(content);
        for (std::size_t n = below(3) + 1; n > 0; --n) {
            switch (below(5)) {
                case 0:
                    number_of(file);
                    break;
                case 1:
                    shape_of(file);
                    break;
                case 2:
                    member_of(*const_cast<io::Json*>(file.document.find("parameters")));
                    break;
                case 3:
                    member_of(*const_cast<io::Json*>(file.document.find("fitted")));
                    break;
                default:
                    name_of(file);
            }
        }
        return io::to_bytes(file);
    }

  private:
    std::size_t below(std::size_t n) {
        return std::uniform_int_distribution<std::size_t>(0, n - 1)(random_);
    }

    io::Tensors::iterator any(io::Tensors& tensors) {
        return std::next(tensors.begin(), static_cast<std::ptrdiff_t>(below(tensors.size())));
    }

    void number_of(io::Container& file) {
        constexpr double kLimit = std::numeric_limits<double>::infinity();
        const double values[] = {0, -1, 1, 0.5, 2, 1e-320, 1e300, -1e300, kLimit, std::nan("")};
        std::string& bytes = any(file.tensors)->second.bytes;
        if (bytes.size() >= sizeof(double))
            std::memcpy(bytes.data() + below(bytes.size() / sizeof(double)) * sizeof(double),
                        &values[below(std::size(values))], sizeof(double));
    }

    void shape_of(io::Container& file) {
        io::Tensor& tensor = any(file.tensors)->second;
        switch (below(4)) {
            case 0:  // the same numbers in another shape
                tensor.shape = {static_cast<std::int64_t>(tensor.size())};
                break;
            case 1:
                tensor.shape.insert(tensor.shape.begin(), 1);
                break;
            case 2:
                std::reverse(tensor.shape.begin(), tensor.shape.end());
                break;
            default:  // no numbers at all
                tensor.shape.assign(tensor.shape.size() + below(2), 0);
                tensor.bytes.clear();
                if (tensor.shape.empty())
                    tensor.shape.push_back(0);
        }
    }

    void member_of(io::Json& object) {
        if (object.members.empty())
            return;
        auto& [name, value] = object.members[below(object.members.size())];
        const char* const numbers[] = {
            "0", "-1", "1", "2", "3", "7", "1e9", "99999999999999999999", "2147483648", "0.5"};
        switch (below(4)) {
            case 0:
                value = io::Json(io::Json::Type::number, numbers[below(std::size(numbers))]);
                break;
            case 1:
                value = io::Json::of(below(2) == 0);
                break;
            case 2:
                value = io::Json::of(below(2) == 0 ? "tied" : "marginalize");
                break;
            default:
                value = io::Json();
        }
    }

    void name_of(io::Container& file) {
        const auto one = any(file.tensors);
        if (below(2) == 0 && file.tensors.size() > 1) {
            file.tensors.erase(one);
            return;
        }
        const auto other = any(file.tensors);
        std::swap(one->second, other->second);
    }

    std::mt19937 random_;
};

TEST_CASE(forged_files_are_refused_or_used_without_harm) {
    const char* given = std::getenv("VEMFAST_FUZZ");
    const int n_trials = given == nullptr ? 100 : std::atoi(given);
    std::vector<std::pair<std::string, const char*>> all;
    for (const char* name : kClasses) {
        all.emplace_back(name, nullptr);
        if (std::strcmp(name, "VariationalAutoencoder") != 0 && std::strcmp(name, "GMMHMM") != 0)
            all.emplace_back(name, "mean-field");
    }
    all.emplace_back("LatentDirichletAllocation", nullptr);
    const std::string path = temporary("vemfast-forged");
    int refused = 0;
    int taken = 0;
    for (std::size_t i = 0; i < all.size(); ++i) {
        const std::string content = bytes_of(fitted(all[i].first, all[i].second, 1).get());
        Forger forger(static_cast<unsigned>(i));
        for (int trial = 0; trial < n_trials; ++trial) {
            put(path, forger.forge(content));
            vemfast_model* model = nullptr;
            const auto status = vemfast_load(path.c_str(), &model);
            CHECK(status == VEMFAST_OK || status == VEMFAST_MODEL_FILE);
            CHECK((model != nullptr) == (status == VEMFAST_OK));
            (status == VEMFAST_OK ? taken : refused) += 1;
            const Model held(model);
            if (model != nullptr)
                use(model);
        }
    }
    fs::remove(path);
    CHECK(refused > taken / 4 && taken > 0);  // the forger does forge, and not only rubbish
}

// ---- bad input -------------------------------------------------------------------------------

TEST_CASE(null_pointers_to_fits) {
    const std::vector<vemfast_parameter> all{number("n_components", kTwo)};
    const auto options = options_of("PoissonMixture", all);
    const auto of_topics = options_of("LatentDirichletAllocation", all);
    const vemfast_rows given = rows();
    const Corpus corpus;
    const auto documents = corpus.view();
    const std::uint64_t state = 0;
    vemfast_model* model = nullptr;
    const auto refused = [&](vemfast_status status, const char* what) {
        CHECK(status == VEMFAST_INVALID_ARGUMENT && model == nullptr);
        if (std::strstr(vemfast_message(), what) == nullptr)
            throw check::Failure(std::string(what) + " is not in: " + vemfast_message());
    };
    refused(vemfast_fit(nullptr, &given, nullptr, 1, 0, nullptr, &model), "options");
    refused(vemfast_fit(&options, nullptr, nullptr, 1, 0, nullptr, &model), "rows");
    refused(vemfast_fit(&options, &given, nullptr, 1, 0, nullptr, nullptr), "out");
    refused(vemfast_fit(&options, &given, nullptr, 2, 0, nullptr, &model), "n_sequences=2");
    refused(vemfast_fit_documents(nullptr, &documents, 7, 0, nullptr, &model), "options");
    refused(vemfast_fit_documents(&of_topics, nullptr, 7, 0, nullptr, &model), "documents");
    refused(vemfast_fit_documents(&options, &documents, 7, 0, nullptr, &model), "not for Poisson");
    refused(vemfast_fit_documents(&of_topics, &documents, 0, 0, nullptr, &model),
            "n_words must be");
    refused(
        vemfast_fit_many(&options, &given, 1, nullptr, nullptr, nullptr, nullptr, &model, nullptr),
        "random_states");
    refused(
        vemfast_fit_many(&options, nullptr, 1, nullptr, nullptr, &state, nullptr, &model, nullptr),
        "data");
    auto broken = given;
    broken.struct_size = 8;
    refused(
        vemfast_fit_many(&options, &broken, 1, nullptr, nullptr, &state, nullptr, &model, nullptr),
        "data set 0: rows->struct_size is 8");
    auto wrong = options;
    wrong.class_name = nullptr;
    refused(vemfast_fit(&wrong, &given, nullptr, 1, 0, nullptr, &model), "class_name");
    wrong = options;
    wrong.struct_size = 8;
    refused(vemfast_fit(&wrong, &given, nullptr, 1, 0, nullptr, &model), "struct_size");
    wrong = options;
    wrong.parameters = nullptr;
    refused(vemfast_fit(&wrong, &given, nullptr, 1, 0, nullptr, &model), "parameters");
    const std::int64_t shape[] = {-1, 4};
    const std::pair<vemfast_parameter, const char*> wrong_parameters[] = {
        {{nullptr, nullptr, &kTwo, nullptr, 0}, "parameters[1].name is a null pointer"},
        {{"tol", nullptr, nullptr, nullptr, 0}, "tol has neither a word nor values"},
        {{"tol", nullptr, &kTwo, nullptr, 1}, "its shape is a null pointer"},
        {{"tol", nullptr, &kTwo, shape, 2}, "out of range"},
        {{"n_components", nullptr, &kTwo, nullptr, 0}, "n_components is given twice"}};
    for (const auto& [one, what] : wrong_parameters) {
        const std::vector<vemfast_parameter> two{all[0], one};
        const auto bad = options_of("PoissonMixture", two);
        refused(vemfast_fit(&bad, &given, nullptr, 1, 0, nullptr, &model), what);
    }
}

TEST_CASE(messages_are_of_their_thread) {
    std::atomic<int> wrong = 0;
    const auto fail_often = [&](const std::string& path) {
        if (std::strlen(vemfast_message()) != 0)  // there was none in this thread
            ++wrong;
        for (int i = 0; i < 200; ++i) {
            vemfast_model* model = nullptr;
            if (vemfast_load(path.c_str(), &model) != VEMFAST_SYSTEM)
                ++wrong;
            std::this_thread::yield();
            if (std::strstr(vemfast_message(), path.c_str()) == nullptr)
                ++wrong;
        }
    };
    std::vector<std::thread> threads;
    for (const char* path : {"/nowhere/one", "/nowhere/two", "/nowhere/three"})
        threads.emplace_back(fail_often, path);
    for (std::thread& thread : threads)
        thread.join();
    CHECK(wrong == 0);
}

TEST_CASE(a_model_serves_several_threads) {
    const Model model = fitted("PoissonHMM", nullptr, 1);
    const vemfast_rows given = rows();
    const auto n = static_cast<std::size_t>(kRows);
    std::vector<double> expected(2 * n);
    CHECK(vemfast_posteriors(model.get(), &given, nullptr, 1, nullptr, expected.data(), 2 * n) ==
          VEMFAST_OK);
    std::atomic<int> wrong = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            std::vector<double> out(2 * n);
            for (int again = 0; again < 20; ++again) {
                if (vemfast_posteriors(model.get(), &given, nullptr, 1, nullptr, out.data(),
                                       2 * n) != VEMFAST_OK ||
                    out != expected)
                    ++wrong;
            }
        });
    }
    for (std::thread& thread : threads)
        thread.join();
    CHECK(wrong == 0);
}

}  // namespace
