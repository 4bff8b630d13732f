// The C interface over the C++ classes: nothing leaves a function but a status.

#include "vemfast/vemfast.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "vemfast/errors.hpp"
#include "vemfast/hmm.hpp"
#include "vemfast/lda.hpp"
#include "vemfast/mixture.hpp"
#include "vemfast/require.hpp"
#include "vemfast/vae.hpp"

struct vemfast_model {
    std::variant<vemfast::Mixture, vemfast::HiddenMarkov, vemfast::LatentDirichletAllocation,
                 vemfast::VariationalAutoencoder>
        of;
    std::string class_name;

    const vemfast::FittedModel& base() const {
        return std::visit([](const auto& one) -> const vemfast::FittedModel& { return one; }, of);
    }
};

namespace {

using vemfast::require;

// Of fixed size: to tell of a failure must not fail.
thread_local char message[1024] = "";

vemfast_status fail(vemfast_status status, const char* what) noexcept {
    std::snprintf(message, sizeof message, "%s", what);
    return status;
}

template <class Body>
vemfast_status guarded(Body&& body) noexcept {
    try {
        body();
        return VEMFAST_OK;
    } catch (const vemfast::ModelFileError& error) {
        return fail(VEMFAST_MODEL_FILE, error.what());
    } catch (const vemfast::NumericalError& error) {
        return fail(VEMFAST_NUMERICAL, error.what());
    } catch (const vemfast::Interrupted& error) {
        return fail(VEMFAST_INTERRUPTED, error.what());
    } catch (const std::invalid_argument& error) {
        return fail(VEMFAST_INVALID_ARGUMENT, error.what());
    } catch (const std::system_error& error) {
        return fail(VEMFAST_SYSTEM, error.what());
    } catch (const std::bad_alloc& error) {
        return fail(VEMFAST_OUT_OF_MEMORY, error.what());
    } catch (const std::exception& error) {
        return fail(VEMFAST_INTERNAL, error.what());
    } catch (...) {
        return fail(VEMFAST_INTERNAL, "an exception that is no std::exception");
    }
}

template <class T>
void not_null(T* pointer, const char* name) {
    require(pointer != nullptr, name, " is a null pointer");
}

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

template <class Struct>
void check_struct(const Struct* given, const char* name) {
    not_null(given, name);
    require(given->struct_size == sizeof(Struct), name, "->struct_size is ", given->struct_size,
            ", not ", sizeof(Struct), "; set it to sizeof, as the header says");
}

vemfast::Rows rows_of(const vemfast_rows* rows) {
    check_struct(rows, "rows");
    require(rows->n_rows >= 0 && rows->n_features >= 1, "rows are ", rows->n_rows, " x ",
            rows->n_features);
    require(rows->n_rows == 0 || rows->data != nullptr, "rows->data is a null pointer");
    vemfast::Rows out;
    out.data = rows->data;
    out.n = rows->n_rows;
    out.n_features = rows->n_features;
    out.row_stride = static_cast<std::ptrdiff_t>(rows->row_stride);
    out.column_stride = static_cast<std::ptrdiff_t>(rows->column_stride);
    out.is_float = rows->is_float != 0;
    if (rows->weights != nullptr)
        out.weights = {rows->weights, rows->n_rows, 1};
    return out;
}

vemfast::WordCounts documents_of(const vemfast_documents* documents) {
    check_struct(documents, "documents");
    require(documents->n_documents >= 0, "n_documents is ", documents->n_documents);
    not_null(documents->starts, "documents->starts");
    const auto n = static_cast<std::size_t>(documents->n_documents);
    const std::int64_t entries = documents->starts[n];
    require(entries >= 0, "documents->starts ends at ", entries);
    const auto n_entries = static_cast<std::size_t>(entries);
    if (n_entries > 0) {
        not_null(documents->words, "documents->words");
        not_null(documents->counts, "documents->counts");
    }
    return {
        {documents->starts, n + 1}, {documents->words, n_entries}, {documents->counts, n_entries}};
}

vemfast::Lengths lengths_of(const int64_t* lengths, size_t n_sequences) {
    if (lengths == nullptr) {
        require(n_sequences == 1,
                "without lengths there is one sequence; got n_sequences=", n_sequences);
        return {};
    }
    require(n_sequences >= 1, "there is no sequence");
    return {lengths, n_sequences};
}

struct Call {
    int n_threads = 1;
    vemfast::Poll poll;
};

Call call_of(const vemfast_call* call) {
    if (call == nullptr)
        return {};
    check_struct(call, "call");
    require(call->n_threads >= 1, "n_threads must be >= 1; got ", call->n_threads);
    Call out{call->n_threads, {}};
    if (call->poll != nullptr)
        out.poll = [call] { return call->poll(call->context) != 0; };
    return out;
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
    const size_t wanted = static_cast<size_t>(n_rows) * columns;
    check_size(n_out, wanted);
    if (wanted > 0)
        not_null(out, "out");
}

std::unique_ptr<vemfast_model> load(const std::string& path) {
    const std::string name = vemfast::model_class(path);
    if (name.ends_with("Mixture"))
        return std::make_unique<vemfast_model>(vemfast_model{vemfast::Mixture::load(path), name});
    if (name.ends_with("HMM"))
        return std::make_unique<vemfast_model>(
            vemfast_model{vemfast::HiddenMarkov::load(path), name});
    if (name == "LatentDirichletAllocation")
        return std::make_unique<vemfast_model>(
            vemfast_model{vemfast::LatentDirichletAllocation::load(path), name});
    return std::make_unique<vemfast_model>(
        vemfast_model{vemfast::VariationalAutoencoder::load(path), name});
}

vemfast::GaussianMixtureOptions options_of(const vemfast_gaussian_mixture_options* given) {
    check_struct(given, "options");
    require(given->n_components >= 1, "n_components must be >= 1; got ", given->n_components);
    require(
        given->covariance_type >= VEMFAST_FULL && given->covariance_type <= VEMFAST_TIED_SPHERICAL,
        "there is no covariance_type ", given->covariance_type);
    require(given->inference >= VEMFAST_EM && given->inference <= VEMFAST_MEAN_FIELD,
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
    if (given->callback != nullptr)
        out.callback = [given](const vemfast::FitProgress& now) {
            return given->callback(given->context, now.iteration, now.objective) != 0;
        };
    return out;
}

}  // namespace

extern "C" {

int vemfast_c_abi(void) {
    return VEMFAST_C_ABI;
}

const char* vemfast_version(void) {
    return vemfast::version();
}

const char* vemfast_message(void) {
    return message;
}

// ---- models ----------------------------------------------------------------------------------

vemfast_status vemfast_load(const char* path, vemfast_model** out) {
    return guarded([&] {
        not_null(out, "out");
        *out = nullptr;
        not_null(path, "path");
        *out = load(path).release();
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

// ---- fits ------------------------------------------------------------------------------------

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
        vemfast::Mixture model(vemfast::fit(given, choice, random_state, how.n_threads, how.poll),
                               choice);
        *out = std::make_unique<vemfast_model>(vemfast_model{std::move(model), "GaussianMixture"})
                   .release();
    });
}

}  // extern "C"
