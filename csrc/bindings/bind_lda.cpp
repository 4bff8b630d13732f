// Latent Dirichlet allocation for Python: parameters and statistics are one-dimensional float64
// arrays, documents the three arrays of a CSR matrix of counts, used in place.
#include <array>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "bindings/arguments.hpp"
#include "bindings/bind.hpp"
#include "bindings/native_call.hpp"
#include "models/lda.hpp"
#include "models/lda_online.hpp"
#include "vemfast/require.hpp"

namespace vemfast::bindings {

namespace {

using detail::DocumentRule;
using detail::Documents;
using models::Kind;
using models::LatentDirichlet;
using models::LdaOnline;
using models::LdaPass;
using models::LdaTable;
using models::ParameterRule;

using Offsets = py::array_t<std::int64_t, py::array::c_style>;
using Indices = py::array_t<std::int32_t, py::array::c_style>;
using OptionalArray = std::optional<py::array>;

template <class T>
bool holds(const py::array& array) {
    return array.dtype().equal(py::dtype::of<T>()) && (array.flags() & py::array::c_style) != 0;
}

// A view of the documents; the arguments must outlive it. Words are trusted to be in range, sorted
// and without duplicates: blocks of documents are checked when they are made.
Documents view_documents(const Offsets& indptr, const Indices& indices, const py::array& counts) {
    Documents documents;
    require(indptr.size() >= 1, "indptr is empty");
    documents.n_documents = static_cast<std::size_t>(indptr.size()) - 1;
    documents.indptr = indptr.data();
    documents.indices = indices.data();
    documents.counts_are_float = holds<float>(counts);
    require(documents.counts_are_float || holds<double>(counts),
            "counts must be contiguous native float32 or float64");
    const std::int64_t first = documents.indptr[0];
    const std::int64_t end = documents.indptr[documents.n_documents];
    require(first >= 0 && end >= first && end <= indices.size() && end <= counts.size(),
            "indptr runs from ", first, " to ", end, ", but there are ", indices.size(),
            " indices and ", counts.size(), " counts");
    documents.counts = counts.data();
    return documents;
}

LatentDirichlet make_model(std::size_t n_components, std::size_t n_words,
                           std::string_view precision, const Vector& alpha, const Vector& eta,
                           std::optional<std::string_view> learn_alpha, bool learn_eta) {
    require(precision == "float32" || precision == "float64",
            "precision must be 'float32' or 'float64', got '", std::string(precision), "'");
    auto learn = models::Learn::no;
    if (learn_alpha) {
        constexpr std::array<std::string_view, 3> kNames{"no", "vector", "symmetric"};
        learn = parse<models::Learn>("way to learn alpha", *learn_alpha, kNames);
    }
    return {n_components, n_words,  precision == "float32", to_vector(alpha), to_vector(eta),
            learn,        learn_eta};
}

DocumentRule parse_document_rule(std::string_view name) {
    constexpr std::array<std::string_view, 3> kNames{"factorised", "hard", "sampled"};
    return parse<DocumentRule>("local rule", name, kNames);
}

py::array new_gamma(const LdaTable& table, std::size_t n_documents) {
    const auto n = static_cast<py::ssize_t>(n_documents);
    const auto K = static_cast<py::ssize_t>(table.n_components);
    if (table.is_float)
        return py::array_t<float>({n, K});
    return py::array_t<double>({n, K});
}

// What the state before a pass must be: gamma of the table's precision, or int32 topics.
const void* checked_state(const OptionalArray& state, const py::array& after) {
    if (!state)
        return nullptr;
    require(state->dtype().equal(after.dtype()) && (state->flags() & py::array::c_style) != 0 &&
                state->size() == after.size(),
            "the state of the documents has ", state->size(), " numbers where the pass has ",
            after.size(), ", or is of another type");
    return state->data();
}

void check_topics_of_tokens(const void* labels, std::size_t n, std::size_t K) {
    const auto* z = static_cast<const std::int32_t*>(labels);
    for (std::size_t i = 0; z != nullptr && i < n; ++i)
        require(z[i] >= 0 && static_cast<std::size_t>(z[i]) < K, "token ", i, " has the topic ",
                z[i], ", not in 0..", K - 1);
}

py::tuple e_step(const LdaTable& table, const Offsets& indptr, const Indices& indices,
                 const py::array& counts, const OptionalVector& weights, std::uint64_t offset,
                 std::string_view rule, const OptionalArray& state, std::uint64_t seed,
                 std::uint32_t iteration, int max_inner, double inner_tol, int n_threads) {
    Documents documents = view_documents(indptr, indices, counts);
    documents.offset = offset;
    const LdaPass pass{parse_document_rule(rule), max_inner, inner_tol, seed, iteration, n_threads};
    if (weights) {
        require(pass.rule != DocumentRule::sampled,
                "gibbs takes no document weights: a draw has no fraction; repeat documents, or use "
                "inference='mean-field'");
        documents.weights = sized(*weights, documents.n_documents, "weights");
    }
    std::vector<std::int64_t> first_token;
    py::array after;
    if (pass.rule == DocumentRule::factorised) {
        after = new_gamma(table, documents.n_documents);
    } else {
        first_token = models::count_tokens(documents);
        after = Labels(static_cast<py::ssize_t>(first_token.back()));
    }
    const models::LdaState states{checked_state(state, after), after.mutable_data()};
    if (pass.rule != DocumentRule::factorised)
        check_topics_of_tokens(states.before, static_cast<std::size_t>(after.size()),
                               table.n_components);
    Vector stats(static_cast<py::ssize_t>(table.stats_size()));
    double* out = stats.mutable_data();
    call_native([&](const Poll& poll) {
        models::e_step(table, documents, pass, first_token.data(), states, poll, out);
    });
    return py::make_tuple(stats, after);
}

py::tuple infer(const LdaTable& table, const Offsets& indptr, const Indices& indices,
                const py::array& counts, const OptionalArray& state, int max_inner,
                double inner_tol, int n_threads) {
    const Documents documents = view_documents(indptr, indices, counts);
    LdaPass pass;
    pass.max_inner = max_inner;
    pass.inner_tol = inner_tol;
    pass.n_threads = n_threads;
    py::array gamma = new_gamma(table, documents.n_documents);
    const models::LdaState states{checked_state(state, gamma), gamma.mutable_data()};
    Vector bounds(static_cast<py::ssize_t>(documents.n_documents));
    double* out = bounds.mutable_data();
    call_native(
        [&](const Poll& poll) { models::infer(table, documents, pass, states, poll, out); });
    return py::make_tuple(gamma, bounds);
}

Vector proportions(const LdaTable& table, const Offsets& indptr, const Indices& indices,
                   const py::array& counts, int max_inner, double inner_tol, bool add_up,
                   int n_threads) {
    const Documents documents = view_documents(indptr, indices, counts);
    LdaPass pass;
    pass.max_inner = max_inner;
    pass.inner_tol = inner_tol;
    pass.n_threads = n_threads;
    Vector result({static_cast<py::ssize_t>(documents.n_documents),
                   static_cast<py::ssize_t>(table.n_components)});
    double* out = result.mutable_data();
    call_native(
        [&](const Poll& poll) { models::proportions(table, documents, pass, add_up, poll, out); });
    return result;
}

Vector log_predictive(const Vector& theta, const Vector& topics, const Offsets& indptr,
                      const Indices& indices, const py::array& counts, int n_threads) {
    const Documents documents = view_documents(indptr, indices, counts);
    require(theta.ndim() == 2 && topics.ndim() == 2 && theta.shape(1) == topics.shape(1) &&
                static_cast<std::size_t>(theta.shape(0)) == documents.n_documents,
            "theta must be n_documents x K and topics n_words x K");
    const auto K = static_cast<std::size_t>(theta.shape(1));
    Vector result(static_cast<py::ssize_t>(documents.n_documents));
    double* out = result.mutable_data();
    const double* share = theta.data();
    const double* beta = topics.data();
    call_native([&](const Poll& poll) {
        models::log_predictive(documents, share, beta, K, n_threads, poll, out);
    });
    return result;
}

Vector update(const LatentDirichlet& model, std::string_view rule, std::string_view previous_kind,
              const OptionalVector& previous, const Vector& stats, std::uint64_t seed,
              std::uint32_t iteration, int n_threads) {
    const auto parsed = parse_parameter_rule(rule);
    const Kind from = parse_kind(previous_kind);
    const double* last = previous ? sized(*previous, model.params_size(), "params") : nullptr;
    const double* data = sized(stats, model.stats_size(), "stats");
    Vector out(static_cast<py::ssize_t>(model.params_size()));
    double* next = out.mutable_data();
    call_native([&](const Poll& poll) {
        model.update(parsed, from, last, data, seed, iteration, n_threads, poll, next);
    });
    return out;
}

std::unique_ptr<LdaOnline> make_online(const LatentDirichlet& model, std::string_view rule,
                                       const Vector& params, const Vector& stats, int n_threads) {
    const auto parsed = parse_parameter_rule(rule);
    const double* from = sized(params, model.params_size(), "params");
    const double* data = sized(stats, model.stats_size(), "stats");
    return call_native([&](const Poll& poll) {
        return std::make_unique<LdaOnline>(model, parsed, from, data, n_threads, poll);
    });
}

// The parameters that the batch is scored by, where they are wanted.
std::optional<Vector> online_batch(LdaOnline& online, const Offsets& indptr, const Indices& indices,
                                   const py::array& counts, const OptionalVector& weights,
                                   std::string_view rule, std::uint32_t iteration, int max_inner,
                                   double inner_tol, double scale, double rate, bool want_params,
                                   int n_threads) {
    Documents documents = view_documents(indptr, indices, counts);
    if (weights)
        documents.weights = sized(*weights, documents.n_documents, "weights");
    const LdaPass pass{parse_document_rule(rule), max_inner, inner_tol, 0, iteration, n_threads};
    std::optional<Vector> params;
    if (want_params)
        params = Vector(static_cast<py::ssize_t>(online.params_size()));
    double* out = params ? params->mutable_data() : nullptr;
    call_native([&](const Poll& poll) { online.batch(documents, pass, scale, rate, poll, out); });
    return params;
}

}  // namespace

void bind_lda(py::module_& m) {
    [[maybe_unused]] const py::class_<LdaTable> table(m, "LdaTable");

    py::class_<LdaOnline>(m, "LdaOnline")
        .def(py::init(&make_online), py::keep_alive<1, 2>())
        .def("batch", &online_batch)
        .def("stats", [](const LdaOnline& online, int n_threads) {
            Vector out(static_cast<py::ssize_t>(online.stats_size()));
            double* to = out.mutable_data();
            call_native([&](const Poll& poll) { online.stats(n_threads, poll, to); });
            return out;
        });

    py::class_<LatentDirichlet>(m, "LatentDirichlet")
        .def(py::init(&make_model), py::kw_only(), py::arg("n_components"), py::arg("n_words"),
             py::arg("precision"), py::arg("alpha"), py::arg("eta"), py::arg("learn_alpha"),
             py::arg("learn_eta"))
        .def("prepare",
             [](const LatentDirichlet& model, std::string_view kind, const Vector& params,
                int n_threads) {
                 const Kind parsed = parse_kind(kind);
                 const double* data = sized(params, model.params_size(), "params");
                 return call_native([&](const Poll& poll) {
                     return model.prepare(parsed, data, n_threads, poll);
                 });
             })
        .def("update", &update)
        .def("global_term",
             [](const LatentDirichlet& model, std::string_view kind, const Vector& params,
                int n_threads) {
                 const Kind parsed = parse_kind(kind);
                 const double* data = sized(params, model.params_size(), "params");
                 return call_native([&](const Poll& poll) {
                     return model.global_term(parsed, data, n_threads, poll);
                 });
             })
        .def("expected_log_joint", [](const LatentDirichlet& model, std::string_view kind,
                                      const Vector& params, const Vector& stats, int n_threads) {
            const Kind parsed = parse_kind(kind);
            const double* data = sized(params, model.params_size(), "params");
            const double* of = sized(stats, model.stats_size(), "stats");
            return call_native([&](const Poll& poll) {
                return model.expected_log_joint(parsed, data, of, n_threads, poll);
            });
        });

    m.def("lda_e_step", &e_step);
    m.def("lda_infer", &infer);
    m.def("lda_proportions", &proportions);
    m.def("lda_log_predictive", &log_predictive);
}

}  // namespace vemfast::bindings
