// Fits through the C interface.

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "api/c_handles.hpp"
#include "api/chosen.hpp"
#include "vemfast/fit.hpp"

namespace {

using vemfast::require;
using namespace vemfast::api;

// That of options which outlive it, or none.
template <class Options>
vemfast::FitCallback callback_of(const Options* given) {
    if (given->callback == nullptr)
        return {};
    return [given](const vemfast::FitProgress& now) {
        return given->callback(given->context, now.iteration, now.objective) != 0;
    };
}

vemfast::GaussianMixtureOptions options_of(const vemfast_gaussian_mixture_options* given) {
    check_struct(given, "options");
    require(given->n_components >= 1, "n_components must be >= 1; got ", given->n_components);
    require(
        given->covariance_type >= VEMFAST_FULL && given->covariance_type <= VEMFAST_TIED_SPHERICAL,
        "there is no covariance_type ", given->covariance_type);
    require(given->inference >= VEMFAST_EM && given->inference <= VEMFAST_VARIATIONAL_EM,
            "there is no inference ", given->inference);
    vemfast::GaussianMixtureOptions out;
    out.n_components = static_cast<std::size_t>(given->n_components);
    out.covariance_type = static_cast<vemfast::CovarianceType>(given->covariance_type);
    out.inference = static_cast<vemfast::Inference>(given->inference);
    out.max_iter = given->max_iter;
    out.n_init = given->n_init;
    out.equal_weights = given->equal_weights != 0;
    out.dirichlet_process = given->dirichlet_process != 0;
    out.tol = given->tol;
    out.reg_covar = given->reg_covar;
    const auto set = [](std::optional<double>& to, double value) {
        if (!std::isnan(value))
            to = value;
    };
    set(out.weight_concentration_prior, given->weight_concentration_prior);
    set(out.mean_precision_prior, given->mean_precision_prior);
    set(out.degrees_of_freedom_prior, given->degrees_of_freedom_prior);
    out.callback = callback_of(given);
    return out;
}

// The options of any class, with the names that Python has.
vemfast::FitOptions options_of(const vemfast_fit_options* given) {
    check_struct(given, "options");
    not_null(given->class_name, "options->class_name");
    if (given->n_parameters > 0)
        not_null(given->parameters, "options->parameters");
    vemfast::FitOptions out;
    for (size_t i = 0; i < given->n_parameters; ++i) {
        const vemfast_parameter& one = given->parameters[i];
        require(one.name != nullptr, "options->parameters[", i, "].name is a null pointer");
        const std::string name = one.name;
        require(!out.parameters.contains(name) && !out.arrays.contains(name), name,
                " is given twice");
        if (one.word != nullptr) {
            out.parameters[name] = std::string(one.word);
            continue;
        }
        if (one.n_dimensions == 0) {
            require(one.values != nullptr, name, " has neither a word nor values");
            out.parameters[name] = *one.values;
            continue;
        }
        require(one.shape != nullptr && one.n_dimensions <= 8, name, " has ", one.n_dimensions,
                one.shape == nullptr ? " dimensions, but its shape is a null pointer"
                                     : " dimensions; at most 8 are taken");
        vemfast::Array array{{one.shape, one.shape + one.n_dimensions}, {}};
        const std::int64_t size = size_of(name, array.shape);
        require(one.values != nullptr || size == 0, name, " has no values");
        array.values.assign(one.values, one.values + size);
        out.arrays[name] = std::move(array);
    }
    out.callback = callback_of(given);
    return out;
}

void check_topics(const vemfast_fit_options* options) {
    require(std::string(options->class_name) == "LatentDirichletAllocation",
            "documents are for LatentDirichletAllocation, not for ", options->class_name);
}

bool is_chain(const std::string& class_name) {
    return class_name.ends_with("HMM");
}

// Rows whose weights, of chains, are one a sequence.
vemfast::Rows rows_to_fit(const vemfast_rows* given, const std::string& class_name,
                          size_t n_sequences) {
    vemfast::Rows rows = rows_of(given);
    if (is_chain(class_name) && rows.weights.data != nullptr)
        rows.weights.size = static_cast<std::int64_t>(n_sequences);
    return rows;
}

vemfast::AnyModel fit_rows(const std::string& name, const vemfast::FitOptions& options,
                           const vemfast::Rows& rows, vemfast::Lengths lengths,
                           uint64_t random_state, const Call& how) {
    if (is_chain(name))
        return vemfast::HiddenMarkov::fit(name, rows, lengths, options, random_state, how.n_threads,
                                          how.poll);
    require(lengths.empty(), "a ", name, " has rows, not sequences: lengths must be NULL");
    if (name == "VariationalAutoencoder")
        return vemfast::VariationalAutoencoder::fit(rows, options, random_state, how.n_threads,
                                                    how.poll);
    require(name != "LatentDirichletAllocation",
            "topics are of documents: use vemfast_fit_documents");
    return vemfast::Mixture::fit(name, rows, options, random_state, how.n_threads, how.poll);
}

// Reads the i-th of many; what is wrong with it is told with its number.
template <class Read>
auto numbered(size_t i, Read&& read) {
    try {
        return read();
    } catch (const std::invalid_argument& error) {
        throw std::invalid_argument("data set " + std::to_string(i) + ": " + error.what());
    }
}

// Before the fits: no model is there, and what they need is.
template <class Data>
void begin_many(const Data* data, const char* name, size_t n_sets, const uint64_t* random_states,
                vemfast_model** out) {
    if (n_sets == 0)
        return;
    not_null(out, "out");
    std::fill_n(out, n_sets, nullptr);
    not_null(data, name);
    not_null(random_states, "random_states");
}

// Behind them: hands out the models that were found, and leaves a message on the first that was
// not.
template <class Model>
void hand_out(vemfast::ManyFits<Model>&& fits, vemfast_model** out, size_t* n_failed) {
    std::vector<std::unique_ptr<vemfast_model>> made(fits.models.size());
    for (size_t i = 0; i < made.size(); ++i) {
        std::optional<Model>& one = fits.models[i];
        if (one.has_value())
            made[i] = handle_of(std::move(*one));
    }
    std::string text;
    if (!fits.failures.empty()) {
        const auto& [number, why] = fits.failures.front();
        text.append("data set ").append(std::to_string(number)).append(": ").append(why);
    }
    for (size_t i = 0; i < made.size(); ++i)
        out[i] = made[i].release();  // the last: what comes after it must not throw
    if (!text.empty())
        fail(VEMFAST_OK, text.c_str());
    if (n_failed != nullptr)
        *n_failed = fits.failures.size();
}

}  // namespace

extern "C" {

void vemfast_gaussian_mixture_options_init(vemfast_gaussian_mixture_options* options) {
    if (options == nullptr)
        return;
    const vemfast::GaussianMixtureOptions usual;
    *options = {};
    options->struct_size = sizeof(*options);
    options->n_components = static_cast<int>(usual.n_components);
    options->max_iter = usual.max_iter;
    options->n_init = usual.n_init;
    options->tol = usual.tol;
    options->reg_covar = usual.reg_covar;
    options->weight_concentration_prior = std::nan("");
    options->mean_precision_prior = std::nan("");
    options->degrees_of_freedom_prior = std::nan("");
}

vemfast_status vemfast_fit_gaussian_mixture(const vemfast_rows* rows,
                                            const vemfast_gaussian_mixture_options* options,
                                            uint64_t random_state, const vemfast_call* call,
                                            vemfast_model** out) {
    return guarded([&] {
        not_null(out, "out");
        *out = nullptr;
        const auto given = rows_of(rows);
        const auto choice = options_of(options);
        const Call how = call_of(call);
        *out = handle_of(
                   vemfast::Mixture(
                       vemfast::fit(given, choice, random_state, how.n_threads, how.poll), choice))
                   .release();
    });
}

vemfast_status vemfast_fit(const vemfast_fit_options* options, const vemfast_rows* rows,
                           const int64_t* lengths, size_t n_sequences, uint64_t random_state,
                           const vemfast_call* call, vemfast_model** out) {
    return guarded([&] {
        not_null(out, "out");
        *out = nullptr;
        const vemfast::FitOptions choice = options_of(options);
        const std::string name = options->class_name;
        *out = handle_of(fit_rows(name, choice, rows_to_fit(rows, name, n_sequences),
                                  lengths_of(lengths, n_sequences), random_state, call_of(call)))
                   .release();
    });
}

vemfast_status vemfast_fit_documents(const vemfast_fit_options* options,
                                     const vemfast_documents* documents, size_t n_words,
                                     uint64_t random_state, const vemfast_call* call,
                                     vemfast_model** out) {
    return guarded([&] {
        not_null(out, "out");
        *out = nullptr;
        const vemfast::FitOptions choice = options_of(options);
        check_topics(options);
        const Call how = call_of(call);
        *out = handle_of(vemfast::LatentDirichletAllocation::fit(documents_of(documents), n_words,
                                                                 choice, random_state,
                                                                 how.n_threads, how.poll))
                   .release();
    });
}

vemfast_status vemfast_fit_many(const vemfast_fit_options* options, const vemfast_rows* data,
                                size_t n_sets, const int64_t* const* lengths,
                                const size_t* n_sequences, const uint64_t* random_states,
                                const vemfast_call* call, vemfast_model** out, size_t* n_failed) {
    return guarded([&] {
        begin_many(data, "data", n_sets, random_states, out);
        const vemfast::FitOptions choice = options_of(options);
        const std::string name = options->class_name;
        const Call how = call_of(call);
        require((lengths == nullptr) == (n_sequences == nullptr),
                "lengths and n_sequences are given together, or not at all");
        std::vector<vemfast::Rows> rows;
        std::vector<vemfast::Lengths> parts;
        for (size_t i = 0; i < n_sets; ++i) {
            const size_t n = n_sequences == nullptr ? 1 : n_sequences[i];
            rows.push_back(numbered(i, [&] { return rows_to_fit(data + i, name, n); }));
            if (lengths != nullptr)
                parts.push_back(numbered(i, [&] { return lengths_of(lengths[i], n); }));
        }
        const std::span<const uint64_t> states(random_states, n_sets);
        if (is_chain(name)) {
            hand_out(vemfast::HiddenMarkov::fit_many(name, rows, parts, choice, states,
                                                     how.n_threads, how.poll),
                     out, n_failed);
            return;
        }
        require(parts.empty(), "a ", name, " has rows, not sequences: lengths must be NULL");
        require(name != "LatentDirichletAllocation",
                "topics are of documents: use vemfast_fit_many_documents");
        if (name == "VariationalAutoencoder")
            hand_out(vemfast::VariationalAutoencoder::fit_many(rows, choice, states, how.n_threads,
                                                               how.poll),
                     out, n_failed);
        else
            hand_out(
                vemfast::Mixture::fit_many(name, rows, choice, states, how.n_threads, how.poll),
                out, n_failed);
    });
}

vemfast_status vemfast_fit_many_documents(const vemfast_fit_options* options,
                                          const vemfast_documents* corpora, size_t n_sets,
                                          size_t n_words, const uint64_t* random_states,
                                          const vemfast_call* call, vemfast_model** out,
                                          size_t* n_failed) {
    return guarded([&] {
        begin_many(corpora, "corpora", n_sets, random_states, out);
        const vemfast::FitOptions choice = options_of(options);
        check_topics(options);
        const Call how = call_of(call);
        std::vector<vemfast::WordCounts> given;
        given.reserve(n_sets);
        for (size_t i = 0; i < n_sets; ++i)
            given.push_back(numbered(i, [&] { return documents_of(corpora + i); }));
        hand_out(vemfast::LatentDirichletAllocation::fit_many(
                     given, n_words, choice, {random_states, n_sets}, how.n_threads, how.poll),
                 out, n_failed);
    });
}

}  // extern "C"
