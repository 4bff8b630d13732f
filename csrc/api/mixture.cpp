#include "vemfast/mixture.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numbers>
#include <optional>
#include <utility>

#include "api/components.hpp"
#include "api/file.hpp"
#include "api/predictive.hpp"
#include "io/schemas.hpp"
#include "math/pairwise_sum.hpp"
#include "models/batch_fit.hpp"
#include "models/rows_view.hpp"
#include "vemfast/require.hpp"

namespace vemfast {

inline namespace abi1 {

// One family: what fills the outputs of rows, by the table of labels and that of densities.
class Mixture::Engine {
  public:
    explicit Engine(const io::Container& file)
        : takes_nan_(api::takes_nan(io::Parameters(file))),
          weights_(io::numbers_of(file, "weights_")) {}
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;
    virtual ~Engine() = default;

    virtual void assign(const Rows& rows, const detail::AssignOutputs& out, int n_threads,
                        const Poll& poll) const = 0;
    virtual void log_density(const Rows& rows, double* out, int n_threads,
                             const Poll& poll) const = 0;

  protected:
    bool takes_nan() const { return takes_nan_; }

    // Fills the outputs of rows of which nothing is observed: their posterior is the weights, their
    // density that of nothing, 1.
    void assign_unobserved(const detail::RowsView& rows, const detail::AssignOutputs& out) const {
        if (!takes_nan_)
            return;
        const std::size_t K = weights_.size();
        const auto heaviest = std::max_element(weights_.begin(), weights_.end());
        for (const std::size_t n : models::unobserved_rows(rows)) {
            if (out.labels != nullptr)
                out.labels[n] = static_cast<std::int32_t>(heaviest - weights_.begin());
            if (out.responsibilities != nullptr)
                std::copy(weights_.begin(), weights_.end(), out.responsibilities + n * K);
            if (out.log_density != nullptr)
                out.log_density[n] = 0.0;
        }
    }

  private:
    bool takes_nan_;
    std::vector<double> weights_;
};

}  // namespace abi1

namespace {

using detail::IndexedFamily;
using models::Kind;

detail::WeightPrior weight_prior(const io::Parameters& given) {
    if (given.boolean("equal_weights", false))
        return detail::WeightPrior::equal;
    const bool process = given.word("weight_concentration_prior_type",
                                    {"dirichlet", "dirichlet_process", "dirichlet_distribution"}) ==
                         "dirichlet_process";
    return process ? detail::WeightPrior::dirichlet_process : detail::WeightPrior::dirichlet;
}

// log(exp x + exp y), as NumPy has it.
double log_add(double x, double y) {
    if (x == y)
        return x + std::numbers::ln2;
    const double difference = x - y;
    return difference > 0 ? x + std::log1p(std::exp(-difference))
                          : y + std::log1p(std::exp(difference));
}

// The mean density over the tables of draws; `one` writes the log densities by one table.
template <class Table, class One>
void mean_density(const std::vector<Table>& tables, std::size_t n, One&& one, double* out) {
    require(!tables.empty(),
            "the density is averaged over kept draws, and there are none: the fit "
            "ended before its first; fit again");
    std::vector<double> own(n);
    std::fill_n(out, n, -std::numeric_limits<double>::infinity());
    for (const Table& table : tables) {
        one(table, own.data());
        for (std::size_t i = 0; i < n; ++i)
            out[i] = log_add(out[i], own[i]);
    }
    for (std::size_t i = 0; i < n; ++i)
        out[i] -= std::log(static_cast<double>(tables.size()));
}

// The parameters of each kept draw: its slices of the arrays, one behind the other.
std::vector<std::vector<double>> points_of_draws(const io::Container& file,
                                                 const std::vector<std::string>& names) {
    std::vector<std::vector<double>> out;
    const auto n = file.tensors.at("posterior_.log_joint").size();
    std::vector<std::vector<double>> arrays;
    arrays.reserve(names.size());
    for (const std::string& name : names)
        arrays.push_back(io::numbers_of(file, name));
    for (std::size_t i = 0; i < n; ++i) {
        std::vector<double> point;
        for (const std::vector<double>& array : arrays) {
            const std::size_t size = array.size() / n;
            point.insert(point.end(), array.begin() + static_cast<std::ptrdiff_t>(i * size),
                         array.begin() + static_cast<std::ptrdiff_t>((i + 1) * size));
        }
        out.push_back(std::move(point));
    }
    return out;
}

// ---- Gaussian --------------------------------------------------------------------------------

class GaussianEngine : public Mixture::Engine {
  public:
    explicit GaussianEngine(const io::Container& file)
        : Engine(file), n_features_(io::n_features_of(file)) {
        const io::Parameters given(file);
        const auto type = api::covariance_type(given, "full");
        const auto K = static_cast<std::size_t>(given.integer("n_components", 1, 1));
        const bool posterior = io::has_tensor(file, "degrees_of_freedom_");
        const auto weights = posterior ? weight_prior(given) : detail::WeightPrior::flat;
        const auto model = api::gaussian_components({&file, K, weights}, type);
        if (posterior) {
            const std::vector<double> params = posterior_of(file);
            table_ = model.prepare(Kind::posterior, params.data());
            densities_.push_back(model.predictive(params.data()));
            return;
        }
        std::vector<double> params = io::numbers_of(file, "weights_");
        api::append_means(file, "means_", params);
        api::append(params, io::numbers_of(file, "covariances_"));
        table_ = model.prepare(Kind::point, params.data());
        if (!io::has_tensor(file, "posterior_.log_joint")) {
            densities_.push_back(table_);
            return;
        }
        is_mean_ = true;
        const std::vector<double> origin = io::numbers_of(file, "origin_");
        for (std::vector<double>& point : points_of_draws(
                 file, {"posterior_.weights", "posterior_.means", "posterior_.covariances"})) {
            for (std::size_t i = 0; i < K * n_features_; ++i)
                point[K + i] -= origin[i % n_features_];
            densities_.push_back(model.prepare(Kind::point, point.data()));
        }
    }

    void assign(const Rows& rows, const detail::AssignOutputs& out, int n_threads,
                const Poll& poll) const override {
        const auto view = api::checked_rows(rows, n_features_, takes_nan());
        models::assign(table_, view, out, n_threads, poll);
        assign_unobserved(view, out);
    }

    void log_density(const Rows& rows, double* out, int n_threads,
                     const Poll& poll) const override {
        const auto view = api::checked_rows(rows, n_features_, takes_nan());
        const auto by = [&](const models::ScoreTable& table, double* to) {
            detail::AssignOutputs outputs;
            outputs.log_density = to;
            models::assign(table, view, outputs, n_threads, poll);
            assign_unobserved(view, outputs);
        };
        if (is_mean_)
            mean_density(densities_, view.n_rows, by, out);
        else
            by(densities_.front(), out);
    }

  private:
    static std::vector<double> posterior_of(const io::Container& file) {
        std::vector<double> params = io::numbers_of(file, "weight_concentration_");
        api::append_means(file, "means_", params);
        api::append(params, io::numbers_of(file, "mean_precision_"));
        const std::vector<double> freedom = io::numbers_of(file, "degrees_of_freedom_");
        api::append(params, freedom);
        const std::vector<double> covariances = io::numbers_of(file, "covariances_");
        const std::size_t size = covariances.size() / freedom.size();
        for (std::size_t i = 0; i < covariances.size(); ++i)
            params.push_back(covariances[i] * freedom[i / size]);
        return params;
    }

    std::size_t n_features_;
    bool is_mean_ = false;  // of draws
    models::ScoreTable table_;
    std::vector<models::ScoreTable> densities_;
};

// ---- bits, counts and codes ------------------------------------------------------------------

struct Names {
    IndexedFamily family;
    const char* table;
    std::vector<const char*> posterior;
    const char* draws;
};

Names names_of(const std::string& class_name) {
    if (class_name == "BernoulliMixture")
        return {IndexedFamily::bernoulli, "probabilities_", {"alpha_", "beta_"}, "probabilities"};
    if (class_name == "PoissonMixture")
        return {IndexedFamily::poisson, "rates_", {"shape_", "rate_"}, "rates"};
    return {IndexedFamily::categorical, "probabilities_", {"concentrations_"}, "probabilities"};
}

class DiscreteEngine : public Mixture::Engine {
  public:
    explicit DiscreteEngine(const io::Container& file)
        : DiscreteEngine(file, names_of(io::class_of(file))) {}

    void assign(const Rows& rows, const detail::AssignOutputs& out, int n_threads,
                const Poll& poll) const override {
        const api::IndexedData data(reader_, rows);
        models::assign(*table_, data.view(), data.is_float(), out, n_threads, poll);
        assign_unobserved(models::view_of(rows), out);
    }

    void log_density(const Rows& rows, double* out, int n_threads,
                     const Poll& poll) const override {
        if (predictive_) {
            const auto given = api::checked_rows(rows, reader_.n_features, takes_nan());
            predictive_->log_density(given, n_threads, poll, out);
            detail::AssignOutputs outputs;
            outputs.log_density = out;
            assign_unobserved(given, outputs);
            return;
        }
        api::IndexedData data(reader_, rows);
        const detail::IndexedRows& view = data.with_base(n_threads, poll);
        const auto by = [&](const models::IndexedTable& table, double* to) {
            detail::AssignOutputs outputs;
            outputs.log_density = to;
            models::assign(table, view, data.is_float(), outputs, n_threads, poll);
            assign_unobserved(models::view_of(rows), outputs);
        };
        if (is_mean_)
            mean_density(densities_, view.n_rows, by, out);
        else
            by(densities_.front(), out);
    }

  private:
    DiscreteEngine(const io::Container& file, const Names& names)
        : Engine(file), reader_(api::reader_of(file, names.family)) {
        const io::Parameters given(file);
        const auto K = static_cast<std::size_t>(given.integer("n_components", 1, 1));
        const std::string first =
            names.family == IndexedFamily::categorical ? "concentrations_.0" : names.posterior[0];
        const bool posterior = io::has_tensor(file, first);
        const auto weights = posterior ? weight_prior(given) : detail::WeightPrior::flat;
        const auto model = api::discrete_components({&file, K, weights}, reader_);
        const auto table = [&](const std::string& name) {
            return api::table_of(file, name, K, reader_, true);
        };
        if (posterior) {
            std::vector<double> params = io::numbers_of(file, "weight_concentration_");
            for (const char* name : names.posterior)
                api::append(params, table(name));
            table_ = std::make_unique<const models::IndexedTable>(
                model.prepare(Kind::posterior, params.data()));
            add_predictive(model, params, K);
            return;
        }
        std::vector<double> params = io::numbers_of(file, "weights_");
        api::append(params, table(names.table));
        table_ =
            std::make_unique<const models::IndexedTable>(model.prepare(Kind::point, params.data()));
        if (!io::has_tensor(file, "posterior_.log_joint")) {
            densities_.push_back(*table_);
            return;
        }
        is_mean_ = true;
        add_draws(model, file, names, K);
    }

    // A feature of a row is a single trial: that of bits and codes is the density at the expected
    // probabilities, that of counts a product of negative binomials.
    void add_predictive(const models::DiscreteMixture& model, const std::vector<double>& params,
                        std::size_t K) {
        std::vector<double> point(K);
        model.mean_weights(params.data(), point.data());
        const std::size_t size = model.shape().n_values * K;
        const std::size_t at =
            params.size() - size * (reader_.family == IndexedFamily::categorical ? 1 : 2);
        const double* a = params.data() + at;
        if (reader_.family == IndexedFamily::poisson) {
            predictive_.emplace(point, std::vector<double>(a, a + size),
                                std::vector<double>(a + size, a + 2 * size));
            return;
        }
        if (reader_.family == IndexedFamily::bernoulli) {
            for (std::size_t i = 0; i < size; ++i)
                point.push_back(a[i] / (a[i] + a[size + i]));
        } else {
            for (const std::int64_t codes : reader_.n_categories) {
                std::vector<double> sums(K);
                const std::size_t n = static_cast<std::size_t>(codes) * K;
                for (std::size_t i = 0; i < n; ++i)
                    sums[i % K] += a[i];
                for (std::size_t i = 0; i < n; ++i)
                    point.push_back(a[i] / sums[i % K]);
                a += n;
            }
        }
        // A model of the same shape prepares a point whatever its weights' prior.
        densities_.push_back(model.prepare(Kind::point, point.data()));
    }

    void add_draws(const models::DiscreteMixture& model, const io::Container& file,
                   const Names& names, std::size_t K) {
        std::vector<std::string> arrays{"posterior_.weights"};
        const std::string drawn = std::string("posterior_.").append(names.draws);
        const bool codes = names.family == IndexedFamily::categorical;
        for (std::size_t d = 0; codes && d < reader_.n_features; ++d)
            arrays.push_back(std::string(drawn).append(".").append(std::to_string(d)));
        if (!codes)
            arrays.push_back(drawn);
        for (const std::vector<double>& shown : points_of_draws(file, arrays)) {
            std::vector<double> point(shown.begin(),
                                      shown.begin() + static_cast<std::ptrdiff_t>(K));
            std::size_t at = K;
            const auto add = [&](std::size_t width) {
                for (std::size_t f = 0; f < width; ++f) {
                    for (std::size_t k = 0; k < K; ++k)
                        point.push_back(shown[at + k * width + f]);
                }
                at += K * width;
            };
            for (const std::int64_t width : reader_.n_categories)
                add(static_cast<std::size_t>(width));
            if (!codes)
                add(reader_.n_features);
            densities_.push_back(model.prepare(Kind::point, point.data()));
        }
    }

    api::IndexedReader reader_;
    bool is_mean_ = false;
    std::unique_ptr<const models::IndexedTable> table_;  // of labels
    std::vector<models::IndexedTable> densities_;
    std::optional<api::PoissonPredictive> predictive_;
};

std::shared_ptr<const Mixture::Engine> engine_of(const io::Container& file) {
    if (io::class_of(file) == "GaussianMixture")
        return std::make_shared<const GaussianEngine>(file);
    return std::make_shared<const DiscreteEngine>(file);
}

std::size_t n_rows(const Rows& rows) {
    require(rows.n >= 0, "the number of rows must be >= 0; got ", rows.n);
    return static_cast<std::size_t>(rows.n);
}

}  // namespace

inline namespace abi1 {

Mixture::Mixture(std::shared_ptr<const io::Container> file)
    : FittedModel(std::move(file)), engine_(engine_of(*file_)) {}

Mixture Mixture::load(const std::string& path) {
    return Mixture(api::read_file(path, api::kMixtures));
}

std::vector<std::int32_t> Mixture::predict(const Rows& rows, int n_threads,
                                           const Poll& poll) const {
    std::vector<std::int32_t> labels(n_rows(rows));
    detail::AssignOutputs out;
    out.labels = labels.data();
    engine_->assign(rows, out, n_threads, poll);
    return labels;
}

std::vector<double> Mixture::responsibilities(const Rows& rows, int n_threads,
                                              const Poll& poll) const {
    std::vector<double> found(n_rows(rows) * n_components());
    detail::AssignOutputs out;
    out.responsibilities = found.data();
    engine_->assign(rows, out, n_threads, poll);
    return found;
}

std::vector<double> Mixture::score_samples(const Rows& rows, int n_threads,
                                           const Poll& poll) const {
    std::vector<double> found(n_rows(rows));
    engine_->log_density(rows, found.data(), n_threads, poll);
    return found;
}

double Mixture::score(const Rows& rows, int n_threads, const Poll& poll) const {
    const std::vector<double> density = score_samples(rows, n_threads, poll);
    require(!density.empty(), "X has no rows, so there is no mean");
    if (rows.weights.data == nullptr)
        return detail::pairwise_sum(density) / static_cast<double>(density.size());
    double sum = 0;
    double total = 0;
    for (std::size_t i = 0; i < density.size(); ++i) {
        const double weight = rows.weights[static_cast<std::int64_t>(i)];
        require(std::isfinite(weight) && weight >= 0, "weights must be finite and >= 0; number ", i,
                " is ", weight);
        sum += weight > 0 ? weight * density[i] : 0;  // a row of no weight may have -inf
        total += weight;
    }
    require(total > 0, "weights are zero everywhere; at least one row needs weight");
    return sum / total;
}

}  // namespace abi1
}  // namespace vemfast
