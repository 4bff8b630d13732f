// Fits of mixtures by the parameters of their Python classes.
#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "api/chosen.hpp"
#include "api/discrete_choice.hpp"
#include "api/many.hpp"
#include "models/batch_fit.hpp"
#include "models/discrete_fit.hpp"
#include "models/rows_view.hpp"
#include "vemfast/mixture.hpp"
#include "vemfast/require.hpp"

namespace vemfast {

namespace {

using api::Chosen;
using detail::IndexedFamily;
using models::Kind;
using models::ParameterRule;

const std::vector<std::string_view> kWeightPriors{"dirichlet", "dirichlet_process",
                                                  "dirichlet_distribution"};

// What all mixtures are told.
struct Common {
    std::size_t K;
    Inference rung;
    double tol;
    int max_iter, n_init;
    Start start;
    std::vector<double> weights_init;
    bool equal_weights, process;
    std::optional<double> concentration;

    bool is_point() const { return rung != Inference::mean_field; }
};

Common common_of(Chosen& chosen) {
    Common out{static_cast<std::size_t>(chosen.integer("n_components", 1, 1)),
               static_cast<Inference>(chosen.word("inference", api::kInferences)),
               chosen.real("tol", 1e-3),
               static_cast<int>(chosen.integer("max_iter", 100, 1)),
               static_cast<int>(chosen.integer("n_init", 1, 1)),
               static_cast<Start>(chosen.word("init_params", api::kStarts)),
               {},
               chosen.boolean("equal_weights", false),
               chosen.word("weight_concentration_prior_type", kWeightPriors) == 1,
               chosen.maybe_real("weight_concentration_prior")};
    out.weights_init = chosen.array("weights_init", {static_cast<std::int64_t>(out.K)});
    require(out.tol >= 0, "tol must be >= 0; got ", out.tol);
    return out;
}

// ---- Gaussian --------------------------------------------------------------------------------

Mixture fit_gaussian(Chosen& chosen, const Rows& rows, std::uint64_t random_state, int n_threads,
                     const Poll& poll) {
    const Common common = common_of(chosen);
    const auto K = static_cast<std::int64_t>(common.K);
    const std::int64_t D = rows.n_features;
    require(rows.n >= 0 && D >= 1, "X has ", rows.n, " rows and ", D, " features");
    GaussianMixtureOptions options;
    options.n_components = common.K;
    options.covariance_type =
        static_cast<CovarianceType>(chosen.word("covariance_type", api::kCovarianceTypes));
    options.inference = common.rung;
    options.tol = common.tol;
    options.max_iter = common.max_iter;
    options.n_init = common.n_init;
    options.reg_covar = chosen.real("reg_covar", options.reg_covar);
    options.start = common.start;
    options.weights_init = common.weights_init;
    options.means_init = chosen.array("means_init", {K, D});
    options.equal_weights = common.equal_weights;
    options.dirichlet_process = common.process;
    options.weight_concentration_prior = common.concentration;
    options.mean_precision_prior = chosen.maybe_real("mean_precision_prior");
    options.mean_prior = chosen.spread("mean_prior", 1, D);
    options.degrees_of_freedom_prior = chosen.maybe_real("degrees_of_freedom_prior");
    const bool is_matrix = options.covariance_type == CovarianceType::full ||
                           options.covariance_type == CovarianceType::tied;
    const bool is_diagonal = options.covariance_type == CovarianceType::diag;
    options.covariance_prior = is_matrix     ? chosen.array("covariance_prior", {D, D})
                               : is_diagonal ? chosen.array("covariance_prior", {D})
                                             : chosen.spread("covariance_prior", 1, 1);
    options.marginalize = chosen.word("missing", {"error", "marginalize"}) == 1;
    options.callback = chosen.callback();
    chosen.refuse_others();
    return {vemfast::fit(rows, options, random_state, n_threads, poll), options};
}

// ---- bits, counts and codes ------------------------------------------------------------------

api::DiscreteNames names_of(const std::string& class_name) {
    if (class_name == "BernoulliMixture")
        return {IndexedFamily::bernoulli,
                "probabilities",
                {"alpha_prior", "beta_prior"},
                {"alpha_", "beta_"},
                "",
                true};
    if (class_name == "PoissonMixture")
        return {IndexedFamily::poisson, "rates", {"shape_prior", "rate_prior"},
                {"shape_", "rate_"},    "",      true};
    return {IndexedFamily::categorical, "probabilities", {"concentration_prior"},
            {"concentrations_"},        "n_categories",  true};
}

detail::Weights weights_of(const Common& common) {
    const auto& given = common.concentration;
    if (common.equal_weights) {
        require(!given, "weight_concentration_prior has no effect with equal_weights; give one");
        return {detail::WeightPrior::equal, 1.0, common.K};
    }
    require(!given || *given > 0, "weight_concentration_prior must be > 0; got ",
            given.value_or(0));
    if (!common.is_point())
        return {common.process ? detail::WeightPrior::dirichlet_process
                               : detail::WeightPrior::dirichlet,
                given.value_or(1.0 / static_cast<double>(common.K)), common.K};
    require(!common.process, "a Dirichlet process has no useful mode; use inference='mean-field'");
    require(given.value_or(1.0) >= 1.0, "weight_concentration_prior=", given.value_or(1.0),
            " < 1 has no mode; use a value >= 1, or inference='mean-field'");
    return {given ? detail::WeightPrior::dirichlet : detail::WeightPrior::flat, given.value_or(1.0),
            common.K};
}

Mixture fit_discrete(Chosen& chosen, const Rows& rows, std::uint64_t random_state, int n_threads,
                     const Poll& poll) {
    const api::DiscreteNames names = names_of(chosen.class_name());
    const Common common = common_of(chosen);
    const api::DiscreteChoice choice =
        api::choose_discrete(chosen, names, rows, weights_of(common), common.is_point());
    chosen.refuse_others();
    models::DiscreteFitOptions options;
    options.local_rule =
        common.rung == Inference::hard_em ? detail::LocalRule::hard : detail::LocalRule::exact;
    options.parameter_rule = common.is_point() ? ParameterRule::point : ParameterRule::posterior;
    options.tol = common.tol;
    options.max_iter = common.max_iter;
    options.n_init = common.n_init;
    options.start = common.start;
    options.weights = models::given_weights(common.weights_init, common.equal_weights);
    options.table = choice.table;
    options.shapes = choice.shapes;
    options.callback = chosen.callback();

    detail::RowsView given = models::view_to_fit(rows);
    models::check_weights(given);
    std::vector<double> weights =
        choice.reader.takes_nan ? models::drop_unobserved(given) : std::vector<double>{};
    if (weights.empty() && given.weights != nullptr) {
        for (std::size_t n = 0; n < given.n_rows; ++n)
            weights.push_back(given.weights[static_cast<std::ptrdiff_t>(n) * given.weight_stride]);
    }
    detail::IndexedRows view = choice.data->with_base(n_threads, poll);
    view.weights = weights.empty() ? nullptr : weights.data();
    const models::DiscreteFitted fitted = models::fit_discrete_mixture(
        *choice.mixture, view, choice.data->is_float(), options, random_state, n_threads, poll);

    Attributes out = chosen.attributes(choice.reader.n_features);
    const models::FitState& state = fitted.state;
    const auto K = static_cast<std::int64_t>(common.K);
    const double* params = state.params.data();
    std::size_t at = common.K;
    if (state.kind == Kind::point) {
        out.arrays["weights_"] = {{K}, {params, params + at}};
    } else {
        at = choice.mixture->weights().posterior_size();
        out.arrays["weights_"] = {{K}, fitted.mean_weights};
        out.arrays["weight_concentration_"] = {
            at > common.K ? std::vector<std::int64_t>{2, K} : std::vector<std::int64_t>{K},
            {params, params + at}};
    }
    api::add_components(choice, names, state.kind, params + at, out);
    api::add_trace(state.lower_bounds, state.stop_reason, out);
    return Mixture(out);
}

void check_class_name(const std::string& class_name) {
    require(class_name == "GaussianMixture" || class_name == "BernoulliMixture" ||
                class_name == "CategoricalMixture" || class_name == "PoissonMixture",
            "'", class_name,
            "' is no mixture; there are GaussianMixture, BernoulliMixture, CategoricalMixture and "
            "PoissonMixture");
}

Mixture fit_one(const std::string& class_name, const Rows& rows, const FitOptions& options,
                std::uint64_t random_state, int n_threads, const Poll& poll) {
    Chosen chosen(class_name, options);
    if (class_name == "GaussianMixture")
        return fit_gaussian(chosen, rows, random_state, n_threads, poll);
    return fit_discrete(chosen, rows, random_state, n_threads, poll);
}

}  // namespace

inline namespace abi1 {

Mixture Mixture::fit(const std::string& class_name, const Rows& rows, const FitOptions& options,
                     std::uint64_t random_state, int n_threads, const Poll& poll) {
    const PollScope asked(poll);  // also between passes that are too short to ask by themselves
    check_class_name(class_name);
    return fit_one(class_name, rows, options, random_state, n_threads, poll);
}

ManyFits<Mixture> Mixture::fit_many(const std::string& class_name, std::span<const Rows> data,
                                    const FitOptions& options,
                                    std::span<const std::uint64_t> random_states, int n_threads,
                                    const Poll& poll) {
    check_class_name(class_name);
    const std::size_t K = api::n_components_of(class_name, options);
    const bool is_gaussian = class_name == "GaussianMixture";
    const auto work = [&](std::size_t i) { return api::work_of(data[i], K, is_gaussian); };
    return api::fit_each<Mixture>(data.size(), options, random_states, n_threads, poll, work,
                                  [&](std::size_t i, int threads, const Poll& ask) {
                                      return fit_one(class_name, data[i], options, random_states[i],
                                                     threads, ask);
                                  });
}

}  // namespace abi1
}  // namespace vemfast
