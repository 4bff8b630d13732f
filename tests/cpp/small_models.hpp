// Small models of every class through the C interface, for the tests of its boundary.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "check.hpp"
#include "io/files.hpp"
#include "vemfast/vemfast.h"

namespace small_models {

struct Free {
    void operator()(vemfast_model* model) const { vemfast_free(model); }
};
using Model = std::unique_ptr<vemfast_model, Free>;

inline constexpr std::int64_t kRows = 40;
inline constexpr std::int64_t kColumns = 3;

// Zeros and ones, which every family takes.
inline const std::vector<double>& bits() {
    static const std::vector<double> found = [] {
        std::mt19937 random(1);
        std::vector<double> out;
        for (std::int64_t i = 0; i < kRows * kColumns; ++i)
            out.push_back(static_cast<double>(random() % 2));
        return out;
    }();
    return found;
}

inline vemfast_rows rows() {
    return VEMFAST_ROWS(bits().data(), kRows, kColumns);
}

// Documents of three words each, of seven.
struct Corpus {
    std::vector<std::int64_t> starts{0};
    std::vector<std::int32_t> words;
    std::vector<double> counts;

    Corpus() {
        for (std::int32_t d = 0; d < 10; ++d) {
            for (const std::int32_t word : {d % 3, 3 + d % 2, 5 + d % 2}) {
                words.push_back(word);
                counts.push_back(1 + word % 2);
            }
            starts.push_back(static_cast<std::int64_t>(words.size()));
        }
    }
    vemfast_documents view() const {
        return {sizeof(vemfast_documents), 10, starts.data(), words.data(), counts.data()};
    }
};

// All but topics, which are fitted to documents.
inline const std::vector<const char*> kClasses{
    "GaussianMixture", "BernoulliMixture",      "CategoricalMixture", "PoissonMixture",
    "GaussianHMM",     "BernoulliHMM",          "CategoricalHMM",     "PoissonHMM",
    "GMMHMM",          "VariationalAutoencoder"};

inline vemfast_fit_options options_of(const char* name, const std::vector<vemfast_parameter>& all) {
    return {sizeof(vemfast_fit_options), name, all.data(), all.size(), nullptr, nullptr};
}

inline vemfast_parameter number(const char* name, const double& value) {
    return {name, nullptr, &value, nullptr, 0};
}

inline constexpr double kTwo = 2;
inline constexpr double kFew = 3;

inline Model fitted(const std::string& name, const char* rung, int n_threads) {
    const bool is_chain = name.ends_with("HMM");
    std::vector<vemfast_parameter> all{number("n_components", kTwo),
                                       number(is_chain ? "n_iter" : "max_iter", kFew)};
    if (rung != nullptr)
        all.push_back({"inference", rung, nullptr, nullptr, 0});
    if (name == "GMMHMM")
        all.push_back(number("n_mix", kTwo));
    if (name == "VariationalAutoencoder")
        all.push_back(number("hidden_layer_sizes", kFew));
    const vemfast_call call{sizeof(vemfast_call), n_threads, nullptr, nullptr};
    const auto options = options_of(name.c_str(), all);
    vemfast_model* model = nullptr;
    if (name == "LatentDirichletAllocation") {
        const Corpus corpus;
        const auto documents = corpus.view();
        CHECK(vemfast_fit_documents(&options, &documents, 7, 1, &call, &model) == VEMFAST_OK);
        return Model(model);
    }
    const vemfast_rows given = rows();
    const std::int64_t lengths[] = {30, 10};
    const bool cut = is_chain && n_threads > 1;
    const auto status =
        vemfast_fit(&options, &given, cut ? lengths : nullptr, cut ? 2 : 1, 1, &call, &model);
    if (status != VEMFAST_OK)
        throw check::Failure(name + ": " + vemfast_message());
    return Model(model);
}

inline std::string temporary(const char* what) {
    return (std::filesystem::temp_directory_path() /
            (std::string(what) + "-" + std::to_string(::getpid())))
        .string();
}

inline std::string bytes_of(const vemfast_model* model) {
    const std::string path = temporary("vemfast-fit");
    CHECK(vemfast_save(model, path.c_str()) == VEMFAST_OK);
    std::string out = vemfast::io::read_file(path);
    std::filesystem::remove(path);
    return out;
}

// Puts bytes in a file, without a wait for the disk.
inline void put(const std::string& path, const std::string& content) {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file.write(content.data(), static_cast<std::streamsize>(content.size()));
    CHECK(file.good());
}

}  // namespace small_models
