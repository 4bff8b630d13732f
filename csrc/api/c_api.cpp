// The C interface over the C++ classes: nothing leaves a function but a status.

#include <algorithm>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "api/c_handles.hpp"
#include "vemfast/vemfast.h"

namespace {

using vemfast::require;
using namespace vemfast::api;

// The model as one of the classes of a group.
template <class Model>
const Model& as(const vemfast_model* model, const char* group) {
    not_null(model, "model");
    const auto* found = std::get_if<Model>(&model->of);
    require(found != nullptr, "the model is a ", model->class_name, ", not ", group);
    return *found;
}

const vemfast::Mixture& mixture(const vemfast_model* model) {
    return as<vemfast::Mixture>(model, "a mixture");
}

const vemfast::HiddenMarkov& chain(const vemfast_model* model) {
    return as<vemfast::HiddenMarkov>(model, "a hidden Markov model");
}

void check_size(size_t given, size_t wanted) {
    require(given == wanted, "the output has ", given, " elements, but the result ", wanted);
}

template <class From, class To>
void copy_out(const std::vector<From>& found, To* out, size_t n_out) {
    check_size(n_out, found.size());
    if (!found.empty())
        not_null(out, "out");
    std::copy(found.begin(), found.end(), out);
}

// Throws before any work where the output is not of rows times columns elements.
void check_output(const void* out, size_t n_out, std::int64_t n_rows, size_t columns) {
    const auto rows = static_cast<size_t>(n_rows);
    // Not by a product, which could wrap.
    const bool fits = columns == 0 ? n_out == 0 : n_out % columns == 0 && n_out / columns == rows;
    require(fits, "the output has ", n_out, " elements, but the result is ", rows, " x ", columns);
    if (n_out > 0)
        not_null(out, "out");
}

}  // namespace

extern "C" {

int vemfast_c_abi(void) {
    return VEMFAST_C_ABI;
}

const char* vemfast_version(void) {
    return vemfast::version();
}

// ---- models ----------------------------------------------------------------------------------

vemfast_status vemfast_load(const char* path, vemfast_model** out) {
    return guarded([&] {
        not_null(out, "out");
        *out = nullptr;
        not_null(path, "path");
        *out = handle_of(vemfast::load(path)).release();
    });
}

vemfast_status vemfast_save(const vemfast_model* model, const char* path) {
    return guarded([&] {
        not_null(model, "model");
        not_null(path, "path");
        model->base().save(path);
    });
}

void vemfast_free(vemfast_model* model) {
    delete model;
}

const char* vemfast_class_name(const vemfast_model* model) {
    return model == nullptr ? nullptr : model->class_name.c_str();
}

size_t vemfast_n_features(const vemfast_model* model) {
    size_t n = 0;
    guarded([&] { n = model == nullptr ? 0 : model->base().n_features(); });
    return n;
}

size_t vemfast_n_components(const vemfast_model* model) {
    size_t n = 0;
    guarded([&] { n = model == nullptr ? 0 : model->base().n_components(); });
    return n;
}

vemfast_status vemfast_array_shape(const vemfast_model* model, const char* name, int64_t* shape,
                                   size_t capacity, size_t* n_dimensions, size_t* size) {
    return guarded([&] {
        not_null(model, "model");
        not_null(name, "name");
        const vemfast::Array found = model->base().array(name);
        if (shape != nullptr) {
            require(capacity >= found.shape.size(), name, " has ", found.shape.size(),
                    " dimensions, but there is room for ", capacity);
            std::copy(found.shape.begin(), found.shape.end(), shape);
        }
        if (n_dimensions != nullptr)
            *n_dimensions = found.shape.size();
        if (size != nullptr)
            *size = found.values.size();
    });
}

vemfast_status vemfast_array(const vemfast_model* model, const char* name, double* out,
                             size_t n_out) {
    return guarded([&] {
        not_null(model, "model");
        not_null(name, "name");
        copy_out(model->base().array(name).values, out, n_out);
    });
}

// ---- mixtures --------------------------------------------------------------------------------

vemfast_status vemfast_predict(const vemfast_model* model, const vemfast_rows* rows,
                               const vemfast_call* call, int32_t* out, size_t n_out) {
    return guarded([&] {
        const auto& of = mixture(model);
        const auto given = rows_of(rows);
        const Call how = call_of(call);
        check_output(out, n_out, given.n, 1);
        copy_out(of.predict(given, how.n_threads, how.poll), out, n_out);
    });
}

vemfast_status vemfast_predict_proba(const vemfast_model* model, const vemfast_rows* rows,
                                     const vemfast_call* call, double* out, size_t n_out) {
    return guarded([&] {
        const auto& of = mixture(model);
        const auto given = rows_of(rows);
        const Call how = call_of(call);
        check_output(out, n_out, given.n, of.n_components());
        copy_out(of.responsibilities(given, how.n_threads, how.poll), out, n_out);
    });
}

vemfast_status vemfast_score_samples(const vemfast_model* model, const vemfast_rows* rows,
                                     const vemfast_call* call, double* out, size_t n_out) {
    return guarded([&] {
        const auto& of = mixture(model);
        const auto given = rows_of(rows);
        const Call how = call_of(call);
        check_output(out, n_out, given.n, 1);
        copy_out(of.score_samples(given, how.n_threads, how.poll), out, n_out);
    });
}

vemfast_status vemfast_score(const vemfast_model* model, const vemfast_rows* rows,
                             const vemfast_call* call, double* out) {
    return guarded([&] {
        const auto& of = mixture(model);
        not_null(out, "out");
        const Call how = call_of(call);
        *out = of.score(rows_of(rows), how.n_threads, how.poll);
    });
}

// ---- chains ----------------------------------------------------------------------------------

vemfast_status vemfast_decode(const vemfast_model* model, const vemfast_rows* rows,
                              const int64_t* lengths, size_t n_sequences, const vemfast_call* call,
                              int32_t* states, size_t n_states, double* log_joint) {
    return guarded([&] {
        const auto& of = chain(model);
        const auto given = rows_of(rows);
        const Call how = call_of(call);
        check_output(states, n_states, given.n, 1);
        const auto best =
            of.decode(given, lengths_of(lengths, n_sequences), how.n_threads, how.poll);
        copy_out(best.states, states, n_states);
        if (log_joint != nullptr)
            std::copy(best.log_joint.begin(), best.log_joint.end(), log_joint);
    });
}

vemfast_status vemfast_posteriors(const vemfast_model* model, const vemfast_rows* rows,
                                  const int64_t* lengths, size_t n_sequences,
                                  const vemfast_call* call, double* out, size_t n_out) {
    return guarded([&] {
        const auto& of = chain(model);
        const auto given = rows_of(rows);
        const Call how = call_of(call);
        check_output(out, n_out, given.n, of.n_components());
        copy_out(of.posteriors(given, lengths_of(lengths, n_sequences), how.n_threads, how.poll),
                 out, n_out);
    });
}

vemfast_status vemfast_score_sequences(const vemfast_model* model, const vemfast_rows* rows,
                                       const int64_t* lengths, size_t n_sequences,
                                       const vemfast_call* call, double* out, size_t n_out) {
    return guarded([&] {
        const auto& of = chain(model);
        const auto given = rows_of(rows);
        const Call how = call_of(call);
        check_output(out, n_out, static_cast<std::int64_t>(n_sequences), 1);
        copy_out(
            of.score_sequences(given, lengths_of(lengths, n_sequences), how.n_threads, how.poll),
            out, n_out);
    });
}

// ---- topics ----------------------------------------------------------------------------------

vemfast_status vemfast_transform_documents(const vemfast_model* model,
                                           const vemfast_documents* documents,
                                           const vemfast_call* call, double* out, size_t n_out) {
    return guarded([&] {
        const auto& of = as<vemfast::LatentDirichletAllocation>(model, "topics");
        const auto given = documents_of(documents);
        const Call how = call_of(call);
        check_output(out, n_out, documents->n_documents, of.n_components());
        copy_out(of.transform(given, true, how.n_threads, how.poll), out, n_out);
    });
}

vemfast_status vemfast_score_documents(const vemfast_model* model,
                                       const vemfast_documents* documents, const vemfast_call* call,
                                       double* out, size_t n_out) {
    return guarded([&] {
        const auto& of = as<vemfast::LatentDirichletAllocation>(model, "topics");
        const auto given = documents_of(documents);
        const Call how = call_of(call);
        check_output(out, n_out, documents->n_documents, 1);
        copy_out(of.score_samples(given, how.n_threads, how.poll), out, n_out);
    });
}

// ---- autoencoders ----------------------------------------------------------------------------

vemfast_status vemfast_transform(const vemfast_model* model, const vemfast_rows* rows,
                                 const vemfast_call* call, double* out, size_t n_out) {
    return guarded([&] {
        const auto& of = as<vemfast::VariationalAutoencoder>(model, "an autoencoder");
        const auto given = rows_of(rows);
        const Call how = call_of(call);
        check_output(out, n_out, given.n, of.n_components());
        copy_out(of.transform(given, how.n_threads, how.poll), out, n_out);
    });
}

vemfast_status vemfast_inverse_transform(const vemfast_model* model, const float* z, size_t n,
                                         const vemfast_call* call, double* out, size_t n_out) {
    return guarded([&] {
        const auto& of = as<vemfast::VariationalAutoencoder>(model, "an autoencoder");
        const Call how = call_of(call);
        check_output(out, n_out, static_cast<std::int64_t>(n), of.n_features());
        if (n > 0)
            not_null(z, "z");
        const std::vector<float> given(z, z + n * of.n_components());
        copy_out(of.inverse_transform(given, how.n_threads, how.poll), out, n_out);
    });
}

}  // extern "C"
