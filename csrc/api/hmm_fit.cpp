// Fits of hidden Markov models by the parameters of their Python classes.
#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>
#include <vector>

#include "api/chosen.hpp"
#include "api/discrete_choice.hpp"
#include "api/many.hpp"
#include "math/pairwise_sum.hpp"
#include "models/batch_fit.hpp"
#include "models/rows_view.hpp"
#include "models/series_fit.hpp"
#include "vemfast/hmm.hpp"
#include "vemfast/require.hpp"

namespace vemfast {

namespace {

using api::Chosen;
using detail::IndexedFamily;
using models::Kind;
using models::ParameterRule;

// Start and transitions as they are given: rows of K numbers, the start one of them.
struct ChainRows {
    std::vector<double> prior;           // empty: flat
    std::vector<unsigned char> support;  // 0: a structural zero
    std::vector<double> first;           // where they begin
};

// What a chain is told.
struct Common {
    std::size_t K, M;  // states, and components of each
    Inference rung;
    double tol;
    int n_iter, n_init;
    bool by_kmeans;
    ChainRows start, transitions, mix;

    std::size_t n_components() const { return K * M; }
    bool is_point() const { return rung != Inference::mean_field; }
};

// Rows that add up to one, as Python divides them: by their sums, and by what is left of those.
void normalise(const std::string& name, std::size_t n_rows, std::size_t K,
               const std::vector<unsigned char>& support, std::vector<double>& rows) {
    for (std::size_t i = 0; i < n_rows; ++i) {
        const std::size_t at = i * K;
        const std::span<double> row(rows.data() + at, K);
        for (std::size_t k = 0; k < K; ++k) {
            require(row[k] >= 0, name, " must be >= 0; got ", row[k]);
            require(row[k] == 0 || support[at + k] != 0, name, " is above 0 in row ", i,
                    ", column ", k, ", where a structural zero is asked for");
        }
        const double sum = detail::pairwise_sum(row);
        require(std::abs(sum - 1.0) <= 1e-6, name, " must sum to 1; row ", i, " sums to ", sum);
        for (double& p : row)
            p /= sum;
        const double rest = detail::pairwise_sum(row);
        for (double& p : row)
            p = p * 1.0 / rest;
    }
}

ChainRows chain_rows(Chosen& chosen, const std::string& name, std::size_t n_rows, std::size_t K,
                     bool is_point, double sticky) {
    const auto k = static_cast<std::int64_t>(K);
    const auto rows = static_cast<std::int64_t>(n_rows);
    const std::vector<std::int64_t> shape =
        name == "startprob" ? std::vector<std::int64_t>{k} : std::vector<std::int64_t>{rows, k};
    ChainRows out;
    out.prior = chosen.spread(name + "_prior", rows, k);
    if (out.prior.empty() && (!is_point || sticky > 0))
        out.prior.assign(n_rows * K, 1.0);
    for (const double value : out.prior)
        require(value > 0, name, "_prior must be > 0; got ", value);
    for (std::size_t i = 0; i < K && sticky > 0; ++i)
        out.prior[i * K + i] += sticky;
    out.support.assign(n_rows * K, 1);
    const std::vector<double> support = chosen.array(name + "_support", shape);
    for (std::size_t i = 0; i < support.size(); ++i)
        out.support[i] = support[i] != 0 ? 1 : 0;
    for (std::size_t i = 0; i < out.prior.size() && is_point; ++i)
        require(out.support[i] == 0 || out.prior[i] >= 1, "a Dirichlet concentration of ",
                out.prior[i], " < 1 (", name,
                "_prior) has no mode; use inference='mean-field', or concentrations >= 1");
    out.first = chosen.array(name + "_init", shape);
    for (std::size_t i = 0; i < n_rows; ++i) {
        const auto* row = out.support.data() + i * K;
        require(std::count(row, row + K, 1) > 0, name, "_support, row ", i,
                " has no entry that may be above zero");
    }
    if (!out.first.empty()) {
        normalise(name + "_init", n_rows, K, out.support, out.first);
        return out;
    }
    out.first.resize(n_rows * K);
    for (std::size_t at = 0; at < n_rows * K; at += K) {
        const auto* row = out.support.data() + at;
        const auto free = static_cast<double>(std::count(row, row + K, 1));
        for (std::size_t i = 0; i < K; ++i)
            out.first[at + i] = row[i] != 0 ? 1.0 / free : 0.0;
    }
    return out;
}

// Weights of the components of each state: where they begin, and the concentrations of their prior.
ChainRows mix_rows(Chosen& chosen, std::size_t K, std::size_t M) {
    const auto k = static_cast<std::int64_t>(K);
    const auto m = static_cast<std::int64_t>(M);
    ChainRows out;
    out.prior = chosen.spread("weights_prior", k, m);
    for (const double value : out.prior)
        require(value >= 1, "a Dirichlet concentration of ", value,
                " < 1 (weights_prior) has no mode; use concentrations >= 1");
    out.first = chosen.array("weights_init", {k, m});
    for (std::size_t at = 0; at < out.first.size(); at += M) {
        const std::span<double> row(out.first.data() + at, M);
        const double sum = detail::pairwise_sum(row);
        require(std::abs(sum - 1.0) <= 1e-6, "weights_init must sum to 1; row ", at / M,
                " sums to ", sum);
        for (double& p : row) {
            require(p >= 0, "weights_init must be >= 0; got ", p);
            p /= sum;
        }
    }
    if (out.first.empty())
        out.first.assign(K * M, 1.0 / static_cast<double>(M));
    if (M == 1)  // one component has all the weight
        out = {};
    return out;
}

Common common_of(Chosen& chosen) {
    const bool has_mix = chosen.class_name() == "GMMHMM";
    Common out{static_cast<std::size_t>(chosen.integer("n_components", 1, 1)),
               has_mix ? static_cast<std::size_t>(chosen.integer("n_mix", 1, 1)) : 1,
               static_cast<Inference>(chosen.word("inference", api::kInferences)),
               chosen.real("tol", 1e-3),
               static_cast<int>(chosen.integer("n_iter", 100, 1)),
               static_cast<int>(chosen.integer("n_init", 1, 1)),
               chosen.word("init_params", {"kmeans", "k-means++"}) == 0,
               {},
               {},
               {}};
    require(!has_mix || out.rung == Inference::em || out.rung == Inference::hard_em,
            "states of several components are fitted by inference='em' or 'hard-em'");
    require(out.tol >= 0, "tol must be >= 0; got ", out.tol);
    const double sticky = chosen.real("sticky", 0.0);
    require(sticky >= 0, "sticky must be >= 0; got ", sticky);
    const bool is_point = out.is_point();
    out.start = chain_rows(chosen, "startprob", 1, out.K, is_point, 0.0);
    out.transitions = chain_rows(chosen, "transmat", out.K, out.K, is_point, sticky);
    if (has_mix)
        out.mix = mix_rows(chosen, out.K, out.M);
    const auto has_zero = [](const ChainRows& rows) {
        return std::find(rows.support.begin(), rows.support.end(), 0) != rows.support.end();
    };
    require(out.rung != Inference::variational_em ||
                (!has_zero(out.start) && !has_zero(out.transitions)),
            "where a transition or a start is impossible, independent q of the steps put all "
            "their mass on one path; use inference='em', which is exact");
    return out;
}

detail::Simplex simplex_of(const ChainRows& rows, std::size_t row, std::size_t K) {
    const auto part = [&](const auto& all) {
        const auto begin = all.begin() + static_cast<std::ptrdiff_t>(all.empty() ? 0 : row * K);
        return std::decay_t<decltype(all)>(
            begin, all.empty() ? begin : begin + static_cast<std::ptrdiff_t>(K));
    };
    return {K, part(rows.prior), part(rows.support), {}};
}

models::HiddenMarkov chain_of(const Common& common, models::Emissions emission) {
    std::vector<detail::Simplex> transitions;
    transitions.reserve(common.K);
    for (std::size_t k = 0; k < common.K; ++k)
        transitions.push_back(simplex_of(common.transitions, k, common.K));
    std::vector<detail::Simplex> mix;
    for (std::size_t k = 0; common.M > 1 && k < common.K; ++k)
        mix.push_back(simplex_of(common.mix, k, common.M));
    return {emission,
            simplex_of(common.start, 0, common.K),
            std::move(transitions),
            {},
            std::move(mix)};
}

models::SeriesOptions options_of(const Common& common, const Chosen& chosen) {
    models::SeriesOptions out;
    out.local_rule =
        common.rung == Inference::hard_em ? detail::LocalRule::hard : detail::LocalRule::exact;
    out.factorised = common.rung == Inference::variational_em;
    out.parameter_rule = common.is_point() ? ParameterRule::point : ParameterRule::posterior;
    out.tol = common.tol;
    out.max_iter = common.n_iter;
    out.n_init = common.n_init;
    out.start = common.start.first;
    out.transitions = common.transitions.first;
    out.mix = common.mix.first;
    out.callback = chosen.callback();
    return out;
}

// ---- the data --------------------------------------------------------------------------------

// Lengths and weights of the sequences of a fit.
struct Parts {
    std::vector<std::int64_t> lengths;
    std::vector<double> weights;

    models::Sequences view() const {
        models::Sequences out;
        out.lengths = lengths.data();
        out.n = lengths.size();
        out.weights = weights.empty() ? nullptr : weights.data();
        return out;
    }
};

Parts parts_of(const Rows& rows, Lengths lengths) {
    require(rows.n > 0 && rows.n_features > 0, "X has ", rows.n, " steps and ", rows.n_features,
            " features; at least one of each is needed");
    require(rows.data != nullptr, "X has ", rows.n, " steps, but its pointer is null");
    Parts out{{lengths.begin(), lengths.end()}, {}};
    if (out.lengths.empty())
        out.lengths.push_back(rows.n);
    std::int64_t left = rows.n;
    for (std::size_t s = 0; s < out.lengths.size(); ++s) {
        require(out.lengths[s] > 0, "lengths must be positive; sequence ", s, " has ",
                out.lengths[s]);
        require(out.lengths[s] <= left, "lengths add up to more than the ", rows.n,
                " steps that there are");
        left -= out.lengths[s];
    }
    require(left == 0, "lengths add up to ", rows.n - left, ", but there are ", rows.n, " steps");
    if (rows.weights.data == nullptr)
        return out;
    const auto n = static_cast<std::int64_t>(out.lengths.size());
    require(rows.weights.size == n, "there are ", rows.weights.size, " weights for ", n,
            " sequences; a sequence has one");
    detail::RowsView weighted;
    weighted.n_rows = out.lengths.size();
    weighted.is_float = rows.is_float;
    weighted.weights = rows.weights.data;
    weighted.weight_stride = rows.weights.stride;
    models::check_weights(weighted);
    for (std::int64_t s = 0; s < n; ++s)
        out.weights.push_back(rows.weights[s]);
    return out;
}

// ---- what is found ---------------------------------------------------------------------------

// The attributes of the chain. Returns where the emission's parameters begin.
std::size_t add_chain(const models::SeriesFitted& fitted, std::size_t n_states, Attributes& out) {
    const models::FitState& state = fitted.state;
    const auto K = static_cast<std::int64_t>(n_states);
    const bool is_point = state.kind == Kind::point;
    const auto add = [&](const double* from, const char* start, const char* transitions) {
        out.arrays[start] = {{K}, {from, from + K}};
        out.arrays[transitions] = {{K, K}, {from + K, from + K + K * K}};
    };
    add(is_point ? state.params.data() : fitted.chain_means.data(), "startprob_", "transmat_");
    if (!is_point)
        add(state.params.data(), "startprob_concentration_", "transmat_concentration_");
    api::add_trace(state.lower_bounds, state.stop_reason, out);
    return n_states * (n_states + 1);
}

// Adds the weights of the components of each state. Returns where those of the emission begin.
std::size_t add_mix(const models::SeriesFitted& fitted, std::size_t at, const Common& common,
                    Attributes& out) {
    const auto K = static_cast<std::int64_t>(common.K);
    const auto M = static_cast<std::int64_t>(common.M);
    std::vector<double> weights(common.n_components(), 1.0);
    const std::size_t size = common.M > 1 ? weights.size() : 0;
    std::copy_n(fitted.state.params.data() + at, size, weights.begin());
    out.arrays["weights_"] = {{K, M}, std::move(weights)};
    return at + size;
}

// The attributes of the components; `states` are the lengths of the axes in front of a component's.
void add_gaussians(const models::SeriesFitted& fitted, std::size_t at,
                   const std::vector<std::int64_t>& states, std::size_t n_components,
                   CovarianceType type, Attributes& out) {
    const models::FitState& state = fitted.state;
    const std::size_t n_features = fitted.origin.size();
    const auto K = static_cast<std::int64_t>(n_components);
    const auto D = static_cast<std::int64_t>(n_features);
    const double* from = state.params.data() + at;
    const double* const end = state.params.data() + state.params.size();
    std::vector<double> means(from, from + n_components * n_features);
    for (std::size_t i = 0; i < means.size(); ++i)
        means[i] += fitted.origin[i % n_features];
    from += means.size();
    const auto of_each = [&](const std::vector<std::int64_t>& own) {
        std::vector<std::int64_t> shape(states);
        shape.insert(shape.end(), own.begin(), own.end());
        return shape;
    };
    out.arrays["origin_"] = {{D}, fitted.origin};
    out.arrays["means_"] = {of_each({D}), std::move(means)};
    const std::vector<std::vector<std::int64_t>> shapes{
        of_each({D, D}), {D, D}, of_each({D}), states, {}};
    const auto& shape = shapes[static_cast<std::size_t>(type)];
    if (state.kind == Kind::point) {
        out.arrays["covars_"] = {shape, {from, end}};
        return;
    }
    const bool shared = type == CovarianceType::tied || type == CovarianceType::tied_spherical;
    const std::size_t groups = shared ? 1 : n_components;
    out.arrays["mean_precision_"] = {{K}, {from, from + K}};
    from += K;
    const std::vector<double> freedom(from, from + groups);
    const std::vector<std::int64_t> none;
    out.arrays["degrees_of_freedom_"] = {shared ? none : std::vector<std::int64_t>{K}, freedom};
    std::vector<double> covariances(from + groups, end);
    const std::size_t size = covariances.size() / groups;
    for (std::size_t i = 0; i < covariances.size(); ++i)
        covariances[i] /= freedom[i / size];
    out.arrays["covars_"] = {shape, std::move(covariances)};
}

// ---- the fits --------------------------------------------------------------------------------

HiddenMarkov fit_gaussian(Chosen& chosen, const Rows& rows, Lengths lengths,
                          std::uint64_t random_state, int n_threads, const Poll& poll) {
    const Parts parts = parts_of(rows, lengths);
    const Common common = common_of(chosen);
    const bool has_mix = chosen.class_name() == "GMMHMM";
    std::vector<std::int64_t> states{static_cast<std::int64_t>(common.K)};
    if (has_mix)
        states.push_back(static_cast<std::int64_t>(common.M));
    const std::int64_t D = rows.n_features;
    GaussianMixtureOptions emission;
    emission.n_components = common.n_components();
    std::vector<std::string_view> types{"diag", "full", "spherical"};
    if (!has_mix)
        types.insert(types.end(), {"tied", "tied-spherical"});
    const std::size_t type = chosen.word("covariance_type", types);
    constexpr CovarianceType kTypes[] = {CovarianceType::diag, CovarianceType::full,
                                         CovarianceType::spherical, CovarianceType::tied,
                                         CovarianceType::tied_spherical};
    emission.covariance_type = kTypes[type];
    emission.inference = common.is_point() ? Inference::em : Inference::mean_field;
    emission.reg_covar = chosen.real("reg_covar", emission.reg_covar);
    emission.start = common.by_kmeans ? Start::kmeans : Start::kmeans_plusplus;
    std::vector<std::int64_t> of_means(states);
    of_means.push_back(D);
    emission.means_init = chosen.array("means_init", of_means);
    emission.mean_precision_prior = chosen.maybe_real("means_weight");
    emission.mean_prior = chosen.spread("means_prior", 1, D);
    emission.degrees_of_freedom_prior = chosen.maybe_real("covars_weight");
    const bool is_matrix = emission.covariance_type == CovarianceType::full ||
                           emission.covariance_type == CovarianceType::tied;
    emission.covariance_prior = is_matrix   ? chosen.array("covars_prior", {D, D})
                                : type == 0 ? chosen.array("covars_prior", {D})
                                            : chosen.spread("covars_prior", 1, 1);
    emission.marginalize = chosen.word("missing", {"error", "marginalize"}) == 1;
    chosen.refuse_others();
    models::check_options(emission, static_cast<std::size_t>(D),
                          {"means_weight", "means_prior", "covars_weight", "covars_prior"});

    // That of the data is made in the fit; here it is the shape that counts.
    const auto n_features = static_cast<std::size_t>(D);
    detail::GaussianPrior flat;
    flat.mean.assign(n_features, 0.0);
    detail::Gaussian components(static_cast<detail::Covariance>(emission.covariance_type),
                                emission.n_components, n_features, std::move(flat),
                                std::vector<double>(n_features, 1.0), 0.0);
    const models::GaussianMixture like({detail::WeightPrior::none, 1.0, emission.n_components},
                                       std::move(components), std::vector<double>(n_features, 0.0));
    Rows unweighted = rows;
    unweighted.weights = {};
    const detail::RowsView view = models::view_of(unweighted);
    const models::SeriesFitted fitted =
        models::fit_chain(chain_of(common, &like), {view, view.is_float}, parts.view(),
                          options_of(common, chosen), &emission, random_state, n_threads, poll);
    Attributes out = chosen.attributes(view.n_features);
    std::size_t at = add_chain(fitted, common.K, out);
    if (has_mix)
        at = add_mix(fitted, at, common, out);
    add_gaussians(fitted, at, states, emission.n_components, emission.covariance_type, out);
    return HiddenMarkov(out);
}

api::DiscreteNames names_of(const std::string& class_name) {
    if (class_name == "BernoulliHMM")
        return {IndexedFamily::bernoulli,
                "probabilities",
                {"alpha_prior", "beta_prior"},
                {"alpha_", "beta_"},
                "",
                false};
    if (class_name == "PoissonHMM")
        return {IndexedFamily::poisson,
                "lambdas",
                {"lambdas_prior", "lambdas_weight"},
                {"lambdas_shape_", "lambdas_rate_"},
                "",
                false};
    return {IndexedFamily::categorical,      "emissionprob", {"emissionprob_prior"},
            {"emissionprob_concentration_"}, "n_features",   false};
}

HiddenMarkov fit_discrete(Chosen& chosen, const Rows& rows, Lengths lengths,
                          std::uint64_t random_state, int n_threads, const Poll& poll) {
    const Parts parts = parts_of(rows, lengths);
    const api::DiscreteNames names = names_of(chosen.class_name());
    const Common common = common_of(chosen);
    Rows unweighted = rows;
    unweighted.weights = {};
    const api::DiscreteChoice choice = api::choose_discrete(
        chosen, names, unweighted, {detail::WeightPrior::none, 1.0, common.K}, common.is_point());
    chosen.refuse_others();
    models::DiscreteSeriesOptions emission;
    emission.table = choice.table;
    emission.lloyd = common.by_kmeans ? emission.lloyd : 0;
    emission.shapes = choice.shapes;
    const models::HmmRows steps{choice.data->with_base(n_threads, poll), choice.data->is_float()};
    const models::SeriesFitted fitted =
        models::fit_chain(chain_of(common, choice.mixture.get()), steps, parts.view(),
                          options_of(common, chosen), &emission, random_state, n_threads, poll);
    Attributes out = chosen.attributes(choice.reader.n_features);
    const std::size_t at = add_chain(fitted, common.K, out);
    api::add_components(choice, names, fitted.state.kind, fitted.state.params.data() + at, out);
    return HiddenMarkov(out);
}

void check_class_name(const std::string& class_name) {
    require(class_name == "GaussianHMM" || class_name == "GMMHMM" || class_name == "BernoulliHMM" ||
                class_name == "CategoricalHMM" || class_name == "PoissonHMM",
            "'", class_name,
            "' is no chain; there are GaussianHMM, GMMHMM, BernoulliHMM, CategoricalHMM and "
            "PoissonHMM");
}

HiddenMarkov fit_one(const std::string& class_name, const Rows& rows, Lengths lengths,
                     const FitOptions& options, std::uint64_t random_state, int n_threads,
                     const Poll& poll) {
    Chosen chosen(class_name, options);
    if (class_name == "GaussianHMM" || class_name == "GMMHMM")
        return fit_gaussian(chosen, rows, lengths, random_state, n_threads, poll);
    return fit_discrete(chosen, rows, lengths, random_state, n_threads, poll);
}

}  // namespace

inline namespace abi1 {

HiddenMarkov HiddenMarkov::fit(const std::string& class_name, const Rows& rows, Lengths lengths,
                               const FitOptions& options, std::uint64_t random_state, int n_threads,
                               const Poll& poll) {
    const PollScope asked(poll);  // also between passes that are too short to ask by themselves
    check_class_name(class_name);
    return fit_one(class_name, rows, lengths, options, random_state, n_threads, poll);
}

ManyFits<HiddenMarkov> HiddenMarkov::fit_many(const std::string& class_name,
                                              std::span<const Rows> data,
                                              std::span<const Lengths> lengths,
                                              const FitOptions& options,
                                              std::span<const std::uint64_t> random_states,
                                              int n_threads, const Poll& poll) {
    require(lengths.empty() || lengths.size() == data.size(), "there are lengths for ",
            lengths.size(), " data sets, but ", data.size(), " data sets");
    check_class_name(class_name);
    const std::size_t K = api::n_components_of(class_name, options);
    const bool is_gaussian = class_name == "GaussianHMM" || class_name == "GMMHMM";
    const auto work = [&](std::size_t i) { return api::work_of(data[i], K, is_gaussian); };
    return api::fit_each<HiddenMarkov>(data.size(), options, random_states, n_threads, poll, work,
                                       [&](std::size_t i, int threads, const Poll& ask) {
                                           return fit_one(class_name, data[i],
                                                          lengths.empty() ? Lengths{} : lengths[i],
                                                          options, random_states[i], threads, ask);
                                       });
}

}  // namespace abi1
}  // namespace vemfast
