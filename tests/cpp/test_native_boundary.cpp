// Bad input at every function of the C interface, for a model of every class: a status and a
// message, no output, no leak, and a model that works as before. Run under AddressSanitizer by the
// preset "sanitize".

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "check.hpp"
#include "small_models.hpp"
#include "vemfast/load.hpp"
#include "vemfast/vemfast.h"

namespace {

using namespace small_models;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

void expect(vemfast_status status, vemfast_status wanted, const std::string& what) {
    if (status != wanted)
        throw check::Failure(what + ": status " + std::to_string(status) + ", message '" +
                             vemfast_message() + "'");
    if (wanted != VEMFAST_OK && std::strlen(vemfast_message()) == 0)
        throw check::Failure(what + ": no message");
}

void refused(vemfast_status status, const std::string& what) {
    expect(status, VEMFAST_INVALID_ARGUMENT, what);
}

// ---- functions over rows ---------------------------------------------------------------------

// What a function is called with; each may be spoilt.
struct Given {
    const vemfast_model* model = nullptr;
    const vemfast_rows* rows = nullptr;
    const std::int64_t* lengths = nullptr;
    std::size_t n_sequences = 1;
    const vemfast_call* call = nullptr;
    void* out = nullptr;
    std::size_t n_out = 0;
};

using Function = std::function<vemfast_status(const Given&)>;

struct Entry {
    const char* name;
    char group;         // 'm'ixture, 'c'hain, 'a'utoencoder
    bool has_size;      // takes n_out
    bool by_component;  // the output has a column a component
    bool by_sequence;   // one a sequence
    Function call;
};

const std::vector<Entry>& over_rows() {
    static const std::vector<Entry> all{
        {"predict", 'm', true, false, false,
         [](const Given& of) {
             return vemfast_predict(of.model, of.rows, of.call, static_cast<std::int32_t*>(of.out),
                                    of.n_out);
         }},
        {"predict_proba", 'm', true, true, false,
         [](const Given& of) {
             return vemfast_predict_proba(of.model, of.rows, of.call, static_cast<double*>(of.out),
                                          of.n_out);
         }},
        {"score_samples", 'm', true, false, false,
         [](const Given& of) {
             return vemfast_score_samples(of.model, of.rows, of.call, static_cast<double*>(of.out),
                                          of.n_out);
         }},
        {"score", 'm', false, false, false,
         [](const Given& of) {
             return vemfast_score(of.model, of.rows, of.call, static_cast<double*>(of.out));
         }},
        {"decode", 'c', true, false, false,
         [](const Given& of) {
             return vemfast_decode(of.model, of.rows, of.lengths, of.n_sequences, of.call,
                                   static_cast<std::int32_t*>(of.out), of.n_out, nullptr);
         }},
        {"posteriors", 'c', true, true, false,
         [](const Given& of) {
             return vemfast_posteriors(of.model, of.rows, of.lengths, of.n_sequences, of.call,
                                       static_cast<double*>(of.out), of.n_out);
         }},
        {"score_sequences", 'c', true, false, true,
         [](const Given& of) {
             return vemfast_score_sequences(of.model, of.rows, of.lengths, of.n_sequences, of.call,
                                            static_cast<double*>(of.out), of.n_out);
         }},
        {"transform", 'a', true, true, false,
         [](const Given& of) {
             return vemfast_transform(of.model, of.rows, of.call, static_cast<double*>(of.out),
                                      of.n_out);
         }},
    };
    return all;
}

char group_of(const std::string& name) {
    return name.ends_with("Mixture") ? 'm'
           : name.ends_with("HMM")   ? 'c'
           : name[0] == 'L'          ? 't'
                                     : 'a';
}

std::vector<const char*> every_class() {
    std::vector<const char*> out(kClasses);
    out.push_back("LatentDirichletAllocation");
    return out;
}

void spoil_rows(const Entry& entry, const Given& good, const std::string& what) {
    const auto with_rows = [&](const char* how, const auto& spoil) {
        std::vector<double> x = bits();
        vemfast_rows rows = VEMFAST_ROWS(x.data(), kRows, kColumns);
        spoil(rows, x);
        Given bad = good;
        bad.rows = &rows;
        refused(entry.call(bad), what + ", " + how);
    };
    using Numbers = std::vector<double>;
    with_rows("a size of another ABI", [](vemfast_rows& rows, Numbers&) { rows.struct_size -= 1; });
    with_rows("no data", [](vemfast_rows& rows, Numbers&) { rows.data = nullptr; });
    with_rows("negative rows", [](vemfast_rows& rows, Numbers&) { rows.n_rows = -1; });
    with_rows("fewer columns", [](vemfast_rows& rows, Numbers&) { rows.n_features -= 1; });
    with_rows("no columns", [](vemfast_rows& rows, Numbers&) { rows.n_features = 0; });
    with_rows("more columns", [](vemfast_rows& rows, Numbers& x) {
        x.resize(x.size() * 2);
        rows = VEMFAST_ROWS(x.data(), kRows, 2 * kColumns);
    });
    for (const double value : {kNaN, kInfinity, -kInfinity}) {
        with_rows("not finite", [&](vemfast_rows&, Numbers& x) { x[17] = value; });
        CHECK(std::strstr(vemfast_message(), "row 5, column 2") != nullptr);
    }
}

TEST_CASE(bad_input_to_every_function_over_rows) {
    std::vector<double> out(4096);
    const vemfast_rows good_rows = rows();
    const std::int64_t lengths[] = {30, 10};
    for (const char* name : kClasses) {
        const Model model = fitted(name, nullptr, 1);
        const std::size_t K = vemfast_n_components(model.get());
        for (const Entry& entry : over_rows()) {
            if (entry.group != group_of(name))
                continue;
            const bool is_chain = entry.group == 'c';
            const auto n = static_cast<std::size_t>(kRows);
            const std::size_t n_out = entry.by_component ? n * K : entry.by_sequence ? 2 : n;
            const Given good{model.get(),
                             &good_rows,
                             is_chain ? lengths : nullptr,
                             is_chain ? std::size_t{2} : 1,
                             nullptr,
                             out.data(),
                             n_out};
            const std::string what = std::string(name) + ", " + entry.name;
            std::fill(out.begin(), out.end(), 0.0);
            expect(entry.call(good), VEMFAST_OK, what);
            const std::vector<double> before(out);

            const auto spoilt = [&](const char* how, const std::function<void(Given&)>& spoil) {
                Given bad = good;
                spoil(bad);
                refused(entry.call(bad), what + ", " + how);
            };
            spoilt("no model", [](Given& bad) { bad.model = nullptr; });
            spoilt("no rows", [](Given& bad) { bad.rows = nullptr; });
            spoilt("no output", [](Given& bad) { bad.out = nullptr; });
            if (entry.has_size) {
                spoilt("a small output", [](Given& bad) { --bad.n_out; });
                spoilt("a large output", [](Given& bad) { ++bad.n_out; });
            }
            vemfast_call call{sizeof(vemfast_call), 0, nullptr, nullptr};
            spoilt("no threads", [&](Given& bad) { bad.call = &call; });
            call = {1, 1, nullptr, nullptr};
            spoilt("a call of another ABI", [&](Given& bad) { bad.call = &call; });
            spoil_rows(entry, good, what);
            if (is_chain) {
                constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
                for (const std::array<std::int64_t, 2> wrong : {std::array<std::int64_t, 2>{30, 9},
                                                                {30, 11},
                                                                {40, 0},
                                                                {-1, 41},
                                                                {kMost, kMost},
                                                                {kMost, 41}})
                    spoilt("wrong lengths", [&](Given& bad) { bad.lengths = wrong.data(); });
                spoilt("two sequences without lengths", [](Given& bad) { bad.lengths = nullptr; });
                spoilt("no sequences", [&](Given& bad) {
                    bad.n_sequences = 0;
                    bad.n_out = entry.by_sequence ? 0 : bad.n_out;
                });
            }
            std::fill(out.begin(), out.end(), 0.0);
            expect(entry.call(good), VEMFAST_OK, what + " once more");
            CHECK(out == before);
        }
    }
}

TEST_CASE(a_model_of_another_kind_at_every_function) {
    std::vector<double> out(4096);
    const vemfast_rows given = rows();
    const Corpus corpus;
    const auto documents = corpus.view();
    const std::vector<float> z(8, 0.5F);
    for (const char* name : every_class()) {
        const Model model = fitted(name, nullptr, 1);
        const char group = group_of(name);
        const auto check_kind = [&](const std::string& function, char own, vemfast_status status) {
            if (own == group)
                return;
            refused(status, std::string(name) + ", " + function);
            CHECK(std::strstr(vemfast_message(), "the model is a ") != nullptr);
            CHECK(std::strstr(vemfast_message(), name) != nullptr);
        };
        for (const Entry& entry : over_rows())
            check_kind(entry.name, entry.group,
                       entry.call({model.get(), &given, nullptr, 1, nullptr, out.data(), 40}));
        check_kind("transform_documents", 't',
                   vemfast_transform_documents(model.get(), &documents, nullptr, out.data(), 20));
        check_kind("score_documents", 't',
                   vemfast_score_documents(model.get(), &documents, nullptr, out.data(), 10));
        check_kind("inverse_transform", 'a',
                   vemfast_inverse_transform(model.get(), z.data(), 4, nullptr, out.data(), 12));
    }
}

// ---- topics, and what decodes ----------------------------------------------------------------

using DocumentFunction = std::function<vemfast_status(
    const vemfast_model*, const vemfast_documents*, double*, std::size_t)>;

TEST_CASE(bad_input_to_every_function_over_documents) {
    const Model model = fitted("LatentDirichletAllocation", nullptr, 1);
    std::vector<double> out(64);
    const std::vector<std::pair<DocumentFunction, std::size_t>> functions{
        {[](const vemfast_model* of, const vemfast_documents* documents, double* to,
            std::size_t n) { return vemfast_transform_documents(of, documents, nullptr, to, n); },
         20},
        {[](const vemfast_model* of, const vemfast_documents* documents, double* to,
            std::size_t n) { return vemfast_score_documents(of, documents, nullptr, to, n); },
         10}};
    for (const auto& [call, n] : functions) {
        const auto spoilt = [&, &call = call, n = n](const char* how, const auto& spoil) {
            Corpus corpus;
            vemfast_documents documents = corpus.view();
            spoil(corpus, documents);
            refused(call(model.get(), &documents, out.data(), n), how);
        };
        using View = vemfast_documents;
        spoilt("another ABI", [](Corpus&, View& view) { view.struct_size = 0; });
        spoilt("no starts", [](Corpus&, View& view) { view.starts = nullptr; });
        spoilt("no words", [](Corpus&, View& view) { view.words = nullptr; });
        spoilt("no counts", [](Corpus&, View& view) { view.counts = nullptr; });
        spoilt("negative documents", [](Corpus&, View& view) { view.n_documents = -1; });
        spoilt("a start behind the end", [](Corpus& of, View&) { of.starts[1] = 1000; });
        spoilt("starts that fall", [](Corpus& of, View&) { of.starts[4] = 2; });
        spoilt("a negative start", [](Corpus& of, View&) { of.starts[0] = -3; });
        spoilt("a negative end", [](Corpus& of, View&) { of.starts.back() = -3; });
        spoilt("an unknown word", [](Corpus& of, View&) { of.words[29] = 7; });
        spoilt("a negative word", [](Corpus& of, View&) { of.words[0] = -1; });
        spoilt("words that fall", [](Corpus& of, View&) { std::swap(of.words[0], of.words[1]); });
        spoilt("a word twice", [](Corpus& of, View&) { of.words[1] = of.words[0]; });
        for (const double count : {kNaN, kInfinity, 0.0, -1.0})
            spoilt("a bad count", [&](Corpus& of, View&) { of.counts[7] = count; });
        const Corpus corpus;
        const vemfast_documents documents = corpus.view();
        refused(call(nullptr, &documents, out.data(), n), "no model");
        refused(call(model.get(), nullptr, out.data(), n), "no documents");
        refused(call(model.get(), &documents, nullptr, n), "no output");
        refused(call(model.get(), &documents, out.data(), n - 1), "a small output");
        expect(call(model.get(), &documents, out.data(), n), VEMFAST_OK, "good documents");
    }
}

TEST_CASE(bad_input_to_inverse_transform) {
    const Model model = fitted("VariationalAutoencoder", nullptr, 1);
    std::vector<double> out(12);
    std::vector<float> z(8, 0.5F);
    const auto call = [&](const vemfast_model* of, const float* from, std::size_t n,
                          std::size_t n_out) {
        return vemfast_inverse_transform(of, from, n, nullptr, out.data(), n_out);
    };
    refused(call(nullptr, z.data(), 4, 12), "no model");
    refused(call(model.get(), nullptr, 4, 12), "no z");
    refused(call(model.get(), z.data(), 4, 11), "a small output");
    refused(vemfast_inverse_transform(model.get(), z.data(), 4, nullptr, nullptr, 12), "no output");
    for (const float value :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        z[5] = value;
        refused(call(model.get(), z.data(), 4, 12), "z that is not finite");
    }
    z[5] = 0.5F;
    expect(call(model.get(), z.data(), 4, 12), VEMFAST_OK, "good z");
    expect(call(model.get(), nullptr, 0, 0), VEMFAST_OK, "no rows at all");

    // So many rows that the size of the output is, modulo 2^64, that of four.
    const std::vector<vemfast_parameter> all{number("hidden_layer_sizes", kFew),
                                             number("max_iter", kTwo)};
    const auto options = options_of("VariationalAutoencoder", all);
    const vemfast_rows four = VEMFAST_ROWS(bits().data(), 30, 4);
    vemfast_model* made = nullptr;
    expect(vemfast_fit(&options, &four, nullptr, 1, 0, nullptr, &made), VEMFAST_OK, "a fit");
    const Model wide(made);
    out.resize(16);
    refused(call(wide.get(), z.data(), (std::size_t{1} << 62) + 4, 16), "too many rows");
}

// ---- fits ------------------------------------------------------------------------------------

TEST_CASE(bad_input_to_fits_of_every_class) {
    const std::int64_t wrong_shape[] = {5};
    const std::vector<double> numbers(5, 0.2);
    for (const char* name : kClasses) {
        const bool is_chain = group_of(name) == 'c';
        const bool is_net = group_of(name) == 'a';
        const std::vector<vemfast_parameter> two{number("n_components", kTwo)};
        const auto good = options_of(name, two);
        vemfast_model* model = nullptr;
        const auto failed = [&](vemfast_status status, const char* how) {
            refused(status, std::string(name) + ", " + how);
            CHECK(model == nullptr);
        };
        const auto with_rows = [&](const char* how, const auto& spoil) {
            std::vector<double> x = bits();
            vemfast_rows given = VEMFAST_ROWS(x.data(), kRows, kColumns);
            spoil(given, x);
            model = reinterpret_cast<vemfast_model*>(1);
            failed(vemfast_fit(&good, &given, nullptr, 1, 0, nullptr, &model), how);
        };
        using Numbers = std::vector<double>;
        with_rows("no rows", [](vemfast_rows& given, Numbers&) { given.n_rows = 0; });
        with_rows("negative rows", [](vemfast_rows& given, Numbers&) { given.n_rows = -4; });
        with_rows("no columns", [](vemfast_rows& given, Numbers&) { given.n_features = 0; });
        with_rows("no data", [](vemfast_rows& given, Numbers&) { given.data = nullptr; });
        with_rows("another ABI", [](vemfast_rows& given, Numbers&) { given.struct_size = 9; });
        for (const double value : {kNaN, kInfinity, -kInfinity}) {
            with_rows("not finite", [&](vemfast_rows&, Numbers& x) { x[17] = value; });
            CHECK(std::strstr(vemfast_message(), "row 5, column 2") != nullptr);
        }
        Numbers weights(static_cast<std::size_t>(kRows), 1.0);
        for (const double value : {kNaN, kInfinity, -1.0}) {
            weights[0] = value;
            with_rows("a bad weight",
                      [&](vemfast_rows& given, Numbers&) { given.weights = weights.data(); });
        }
        const vemfast_rows given = rows();
        const auto with_parameter = [&](const char* how, const vemfast_parameter& bad) {
            const std::vector<vemfast_parameter> all{two[0], bad};
            const auto options = options_of(name, all);
            failed(vemfast_fit(&options, &given, nullptr, 1, 0, nullptr, &model), how);
        };
        with_parameter("no such parameter", number("n_compnents", kTwo));
        with_parameter("a rung without Python", {"inference", "gibbs", nullptr, nullptr, 0});
        with_parameter("a word for a number", {"n_init", "two", nullptr, nullptr, 0});
        with_parameter("NaN", number(is_net ? "beta" : "tol", kNaN));
        const char* array = is_net     ? "hidden_layer_sizes"
                            : is_chain ? "startprob_init"
                                       : "weights_init";
        with_parameter("another shape", {array, nullptr, numbers.data(), wrong_shape, 1});
        if (is_chain) {
            const std::int64_t wrong[] = {39, 2};
            failed(vemfast_fit(&good, &given, wrong, 2, 0, nullptr, &model), "wrong lengths");
        }
        expect(vemfast_fit(&good, &given, nullptr, 1, 0, nullptr, &model), VEMFAST_OK, name);
        vemfast_free(model);
    }
}

// ---- files -----------------------------------------------------------------------------------

TEST_CASE(cut_files_of_every_class_and_loads_as_another) {
    const std::string path = temporary("vemfast-cut");
    for (const char* name : every_class()) {
        const std::string content = bytes_of(fitted(name, nullptr, 1).get());
        for (std::size_t part = 0; part < 40; ++part) {
            put(path, content.substr(0, part * content.size() / 40));
            auto* model = reinterpret_cast<vemfast_model*>(1);
            expect(vemfast_load(path.c_str(), &model), VEMFAST_MODEL_FILE, name);
            CHECK(model == nullptr);
        }
        put(path, content);
        const char group = group_of(name);
        using vemfast::ModelFileError;
        if (group != 'm')
            CHECK_THROWS(vemfast::Mixture::load(path), ModelFileError);
        if (group != 'c')
            CHECK_THROWS(vemfast::HiddenMarkov::load(path), ModelFileError);
        if (group != 't')
            CHECK_THROWS(vemfast::LatentDirichletAllocation::load(path), ModelFileError);
        if (group != 'a')
            CHECK_THROWS(vemfast::VariationalAutoencoder::load(path), ModelFileError);
        const vemfast::AnyModel any = vemfast::load(path);
        CHECK(std::visit([](const auto& one) { return one.class_name(); }, any) == name);

        const Model model = fitted(name, nullptr, 1);
        expect(vemfast_save(model.get(), "/no/where/at/all"), VEMFAST_SYSTEM, name);
        refused(vemfast_save(model.get(), nullptr), name);
        refused(vemfast_save(nullptr, path.c_str()), name);
        double one = 0;
        refused(vemfast_array(model.get(), "lower_bounds_", &one, 1000), name);
        refused(vemfast_array(model.get(), "colour_", &one, 1), name);
        refused(vemfast_array(model.get(), nullptr, &one, 1), name);
        refused(vemfast_array(nullptr, "lower_bounds_", &one, 1), name);
        refused(vemfast_array_shape(model.get(), "colour_", nullptr, 0, nullptr, nullptr), name);
        refused(vemfast_array_shape(nullptr, "means_", nullptr, 0, nullptr, nullptr), name);
    }
    std::filesystem::remove(path);
}

}  // namespace
