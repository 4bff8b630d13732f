// Hidden Markov models for Python: parameters and statistics are one-dimensional float64 arrays,
// rows are those that the emission's mixture takes.
#include <memory>
#include <string_view>
#include <utility>
#include <variant>

#include "bindings/bind.hpp"
#include "bindings/contract.hpp"
#include "bindings/native_call.hpp"
#include "bindings/rows.hpp"
#include "models/hmm.hpp"

namespace vemfast::bindings {

namespace {

using detail::LocalRule;
using models::HiddenMarkov;
using models::HmmTable;
using models::Kind;

using Mask = py::array_t<bool, py::array::c_style>;
using Emission = std::variant<const BoundMixture*, const models::DiscreteMixture*>;

// Row i of an optional matrix.
template <class Array>
auto row_of(const std::optional<Array>& array, std::size_t i, std::size_t K, std::size_t n_rows,
            const char* what) {
    using Value = std::conditional_t<std::is_same_v<Array, Mask>, unsigned char, double>;
    std::vector<Value> out;
    if (!array)
        return out;
    require(static_cast<std::size_t>(array->size()) == K * n_rows, what, " has ", array->size(),
            " numbers for ", K, " states");
    const auto* from = array->data() + i * K;
    for (std::size_t k = 0; k < K; ++k)
        out.push_back(static_cast<Value>(from[k]));
    return out;
}

std::unique_ptr<HiddenMarkov> make_model(
    const Emission& emission, const OptionalVector& start_prior,
    const OptionalVector& transition_prior, const std::optional<Mask>& start_support,
    const std::optional<Mask>& transition_support, const OptionalVector& start_frozen,
    const OptionalVector& transition_frozen, int n_sweeps, double sweep_tol, std::size_t n_mix,
    const OptionalVector& mix_prior) {
    const std::size_t n_components =
        std::visit([](const auto* family) { return family->n_components(); }, emission);
    require(n_mix >= 1 && n_components % n_mix == 0, n_components,
            " components are not n_mix=", n_mix, " a state");
    const std::size_t K = n_components / n_mix;
    models::Emissions of;
    if (const auto* const* gaussian = std::get_if<const BoundMixture*>(&emission))
        of = static_cast<const models::GaussianMixture*>(*gaussian);
    else
        of = std::get<const models::DiscreteMixture*>(emission);
    detail::Simplex start(K, row_of(start_prior, 0, K, 1, "start_prior"),
                          row_of(start_support, 0, K, 1, "start_support"),
                          row_of(start_frozen, 0, K, 1, "start_frozen"));
    std::vector<detail::Simplex> transitions;
    transitions.reserve(K);
    for (std::size_t i = 0; i < K; ++i)
        transitions.emplace_back(K, row_of(transition_prior, i, K, K, "transition_prior"),
                                 row_of(transition_support, i, K, K, "transition_support"),
                                 row_of(transition_frozen, i, K, K, "transition_frozen"));
    std::vector<detail::Simplex> mix;
    for (std::size_t k = 0; n_mix > 1 && k < K; ++k)
        mix.emplace_back(n_mix, row_of(mix_prior, k, n_mix, K, "mix_prior"),
                         std::vector<unsigned char>{}, std::vector<double>{});
    return std::make_unique<HiddenMarkov>(of, std::move(start), std::move(transitions),
                                          models::SweepLimits{n_sweeps, sweep_tol}, std::move(mix));
}

// What the passes are given; the arguments must outlive it.
struct Input {
    models::HmmRows rows;
    models::Sequences sequences;

    Input(const HmmTable& table, const Data& data, const OptionalVector& base, bool is_float,
          const Offsets& lengths, const OptionalVector& weights, const OptionalLabels& labels,
          std::uint64_t offset) {
        if (table.gaussian() != nullptr) {
            require(std::holds_alternative<py::array>(data), "Gaussian rows are dense");
            const auto view = rows_view(std::get<py::array>(data), std::nullopt, std::nullopt, 0,
                                        table.gaussian()->n_features());
            rows = {view, view.is_float};
        } else {
            const models::IndexedTable& of = *table.indexed();
            rows = {view_rows(data, of.family, of.shape.n_features, std::nullopt, base), is_float};
        }
        sequences.lengths = lengths.data();
        sequences.n = static_cast<std::size_t>(lengths.size());
        sequences.offset = offset;
        std::int64_t steps = 0;
        for (std::size_t s = 0; s < sequences.n; ++s) {
            require(sequences.lengths[s] > 0, "lengths must be positive; sequence ", s, " has ",
                    sequences.lengths[s]);
            steps += sequences.lengths[s];
        }
        require(static_cast<std::size_t>(steps) == rows.n_steps(), "lengths add up to ", steps,
                ", but there are ", rows.n_steps(), " steps");
        if (weights)
            sequences.weights = sized(*weights, sequences.n, "weights");
        if (labels) {
            sequences.labels = sized_labels(*labels, rows.n_steps());
            check_labels(sequences.labels, rows.n_steps(), table.n_states(), false);
        }
    }
};

py::tuple e_step(const HmmTable& table, const Data& data, const OptionalVector& base, bool is_float,
                 const Offsets& lengths, const OptionalVector& weights,
                 const OptionalLabels& labels, std::uint64_t offset, std::string_view rule,
                 const OptionalVector& state, std::uint64_t seed, std::uint32_t iteration,
                 int n_threads) {
    const Input input(table, data, base, is_float, lengths, weights, labels, offset);
    Vector stats(static_cast<py::ssize_t>(table.model().stats_size()));
    double* out = stats.mutable_data();
    if (rule == "factorised") {
        const std::size_t n = input.rows.n_steps();
        const std::size_t K = table.n_states();
        Vector next({static_cast<py::ssize_t>(n), static_cast<py::ssize_t>(K)});
        const detail::ChainSweeps sweeps{state ? sized(*state, n * K, "the state") : nullptr,
                                         next.mutable_data(), table.model().sweeps().n_sweeps,
                                         table.model().sweeps().tolerance};
        call_native([&](const Poll& poll) {
            models::hmm_sweep(table, input.rows, input.sequences, sweeps, n_threads, poll, out);
        });
        return py::make_tuple(std::move(stats), std::move(next));
    }
    const models::HmmPass pass{parse_local_rule(rule), seed, iteration, n_threads};
    require(pass.rule == LocalRule::exact || pass.rule == LocalRule::hard ||
                pass.rule == LocalRule::sampled,
            "no local rule '", std::string(rule), "' for sequences");
    call_native([&](const Poll& poll) {
        models::hmm_e_step(table, input.rows, input.sequences, pass, poll, out);
    });
    return py::make_tuple(std::move(stats), py::none());
}

Vector score(const HmmTable& table, const Data& data, const OptionalVector& base, bool is_float,
             const Offsets& lengths, const OptionalLabels& labels, int n_threads) {
    const Input input(table, data, base, is_float, lengths, std::nullopt, labels, 0);
    Vector result(lengths.size());
    double* out = result.mutable_data();
    call_native([&](const Poll& poll) {
        models::hmm_score(table, input.rows, input.sequences, n_threads, poll, out);
    });
    return result;
}

py::tuple decode(const HmmTable& table, const Data& data, const OptionalVector& base, bool is_float,
                 const Offsets& lengths, const OptionalLabels& labels, int n_threads) {
    const Input input(table, data, base, is_float, lengths, std::nullopt, labels, 0);
    Labels path(static_cast<py::ssize_t>(input.rows.n_steps()));
    Vector log_joint(lengths.size());
    std::int32_t* states = path.mutable_data();
    double* out = log_joint.mutable_data();
    call_native([&](const Poll& poll) {
        models::hmm_decode(table, input.rows, input.sequences, n_threads, poll, states, out);
    });
    return py::make_tuple(std::move(path), std::move(log_joint));
}

// Posteriors of the states, or the scores of the steps.
Vector by_state(decltype(&models::hmm_posteriors) compute, const HmmTable& table, const Data& data,
                const OptionalVector& base, bool is_float, const Offsets& lengths,
                const OptionalLabels& labels, int n_threads) {
    const Input input(table, data, base, is_float, lengths, std::nullopt, labels, 0);
    Vector result({static_cast<py::ssize_t>(input.rows.n_steps()),
                   static_cast<py::ssize_t>(table.n_states())});
    double* out = result.mutable_data();
    call_native([&](const Poll& poll) {
        compute(table, input.rows, input.sequences, n_threads, poll, out);
    });
    return result;
}

}  // namespace

void bind_hmm(py::module_& m) {
    py::class_<HmmTable>(m, "HmmTable")
        .def_property_readonly("log_start",
                               [](const HmmTable& table) {
                                   Vector out(static_cast<py::ssize_t>(table.n_states()));
                                   std::copy_n(table.chain().log_start, table.n_states(),
                                               out.mutable_data());
                                   return out;
                               })
        .def_property_readonly("log_transitions", [](const HmmTable& table) {
            const std::size_t K = table.n_states();
            Vector out({static_cast<py::ssize_t>(K), static_cast<py::ssize_t>(K)});
            for (std::size_t i = 0; i < K; ++i)
                std::copy_n(table.chain().log_transitions + i * table.chain().ld, K,
                            out.mutable_data() + i * K);
            return out;
        });

    py::class_<HiddenMarkov> chain(m, "HiddenMarkov");
    bind_contract(chain, py::keep_alive<0, 1>());
    chain
        .def(py::init(&make_model), py::keep_alive<1, 2>(), py::arg("emission"), py::kw_only(),
             py::arg("start_prior"), py::arg("transition_prior"), py::arg("start_support"),
             py::arg("transition_support"), py::arg("start_frozen"), py::arg("transition_frozen"),
             py::arg("n_sweeps") = 10, py::arg("sweep_tol") = 1e-6, py::arg("n_mix") = 1,
             py::arg("mix_prior") = py::none())
        .def("mean_chain", [](const HiddenMarkov& model, const Vector& params) {
            const auto K = static_cast<py::ssize_t>(model.n_states());
            Vector out(K * (K + 1));
            model.mean_chain(sized(params, model.params_size(Kind::posterior), "params"),
                             out.mutable_data());
            return out;
        });

    m.def("hmm_e_step", &e_step);
    m.def("hmm_score", &score);
    m.def("hmm_decode", &decode);
    m.def("hmm_posteriors",
          [](const HmmTable& table, const Data& data, const OptionalVector& base, bool is_float,
             const Offsets& lengths, const OptionalLabels& labels, int n_threads) {
              return by_state(&models::hmm_posteriors, table, data, base, is_float, lengths, labels,
                              n_threads);
          });
    m.def("hmm_scores",
          [](const HmmTable& table, const Data& data, const OptionalVector& base, bool is_float,
             const Offsets& lengths, const OptionalLabels& labels, int n_threads) {
              return by_state(&models::hmm_scores, table, data, base, is_float, lengths, labels,
                              n_threads);
          });
}

}  // namespace vemfast::bindings
