#include "vemfast/fit.hpp"

#include <algorithm>

#include "models/batch_fit.hpp"
#include "models/data_sets.hpp"
#include "models/fit_records.hpp"
#include "models/rows_view.hpp"
#include "vemfast/require.hpp"

namespace vemfast {

namespace {

using models::BatchFit;
using models::Kind;

// Where one fit's parameters go.
struct Target {
    double* weights;
    double* means;
    double* covariances;
    double* concentration;
    double* mean_precision;
    double* degrees_of_freedom;
    double* origin;
};

// Writes a state in the data's coordinates.
void write(const models::Setup& setup, const models::FitState& state,
           const GaussianMixtureShape& shape, const Target& to) {
    const std::size_t K = shape.n_components;
    const std::size_t D = shape.n_features;
    const double* from = state.params.data();
    std::copy(setup.origin.begin(), setup.origin.end(), to.origin);
    if (state.kind == Kind::posterior) {
        setup.model.mean_weights(from, to.weights);
        std::copy_n(from, shape.concentration, to.concentration);
        from += shape.concentration;
    } else {
        std::copy_n(from, K, to.weights);
        from += K;
    }
    for (std::size_t i = 0; i < K * D; ++i)
        to.means[i] = from[i] + setup.origin[i % D];
    from += K * D;
    if (state.kind == Kind::point) {
        std::copy_n(from, shape.covariances, to.covariances);
        return;
    }
    std::copy_n(from, K, to.mean_precision);
    std::copy_n(from + K, shape.degrees_of_freedom, to.degrees_of_freedom);
    from += K + shape.degrees_of_freedom;
    const std::size_t size = shape.covariances / shape.degrees_of_freedom;
    for (std::size_t i = 0; i < shape.covariances; ++i)
        to.covariances[i] = from[i] / to.degrees_of_freedom[i / size];
}

bool is_degenerate(const models::Setup& setup, const models::FitState& state) {
    return state.kind == Kind::point && (setup.model.has_empty_component(state.stats.data()) ||
                                         !setup.model.at_edge(state.params.data()).empty());
}

void resize(GaussianMixtureFits& out, std::size_t n_fits, const GaussianMixtureShape& shape) {
    using models::kNothing;
    out.shape = shape;
    out.n_fits = n_fits;
    out.weights.resize(n_fits * shape.n_components, kNothing);
    out.means.resize(n_fits * shape.n_components * shape.n_features, kNothing);
    out.covariances.resize(n_fits * shape.covariances, kNothing);
    out.concentration.resize(n_fits * shape.concentration, kNothing);
    out.mean_precision.resize(n_fits * shape.mean_precision, kNothing);
    out.degrees_of_freedom.resize(n_fits * shape.degrees_of_freedom, kNothing);
    out.origins.resize(n_fits * shape.n_features, kNothing);
}

Target target_of(GaussianMixtureFits& out, std::size_t i) {
    const GaussianMixtureShape& shape = out.shape;
    return {out.weights.data() + i * shape.n_components,
            out.means.data() + i * shape.n_components * shape.n_features,
            out.covariances.data() + i * shape.covariances,
            out.concentration.data() + i * shape.concentration,
            out.mean_precision.data() + i * shape.mean_precision,
            out.degrees_of_freedom.data() + i * shape.degrees_of_freedom,
            out.origins.data() + i * shape.n_features};
}

}  // namespace

GaussianMixtureFit fit(const Rows& rows, const GaussianMixtureOptions& options,
                       std::uint64_t random_state, int n_threads, const Poll& poll) {
    const PollScope asked(poll);  // also between passes that are too short to ask by themselves
    auto view = models::view_to_fit(rows);
    models::check_options(options, view.n_features);
    const auto weights =
        options.marginalize ? models::drop_unobserved(view) : std::vector<double>{};
    const models::Setup setup = models::configure(view, options, n_threads, poll);
    BatchFit engine;
    const models::FitState& state = engine.run(setup, view, options, random_state, n_threads, poll);
    GaussianMixtureFit out;
    out.shape = models::shape_of(options, view.n_features);
    out.weights.resize(out.shape.n_components);
    out.means.resize(out.shape.n_components * out.shape.n_features);
    out.covariances.resize(out.shape.covariances);
    out.concentration.resize(out.shape.concentration);
    out.mean_precision.resize(out.shape.mean_precision);
    out.degrees_of_freedom.resize(out.shape.degrees_of_freedom);
    out.origin.resize(out.shape.n_features);
    write(setup, state, out.shape,
          {out.weights.data(), out.means.data(), out.covariances.data(), out.concentration.data(),
           out.mean_precision.data(), out.degrees_of_freedom.data(), out.origin.data()});
    out.lower_bounds = state.lower_bounds;
    out.stop_reason = state.stop_reason;
    out.degenerate = is_degenerate(setup, state);
    return out;
}

GaussianMixtureFits fit_many(std::span<const Rows> data, std::size_t n_features,
                             const GaussianMixtureOptions& options,
                             std::span<const std::uint64_t> random_states, int n_threads,
                             const Poll& poll) {
    models::check_options(options, n_features);
    require(!options.callback, "fit_many takes no callback: its fits run on all threads; use poll");
    require(random_states.size() == data.size(), "there are ", random_states.size(),
            " random states for ", data.size(), " data sets");
    GaussianMixtureFits out;
    resize(out, data.size(), models::shape_of(options, n_features));
    models::Recorder recorder(out, data.size());
    std::vector<BatchFit> engines(
        static_cast<std::size_t>(exec::n_slots(static_cast<std::int64_t>(data.size()), n_threads)));

    const auto fit_one = [&](std::size_t i, int slot, int threads, const Poll& ask) {
        BatchFit& engine = engines[static_cast<std::size_t>(slot)];
        recorder.guarded(i, [&] {
            auto view = models::view_to_fit(data[i]);
            require(view.n_features == n_features, "X has ", view.n_features, " features, but ",
                    n_features, " are expected");
            const auto weights =
                options.marginalize ? models::drop_unobserved(view) : std::vector<double>{};
            const models::Setup setup = models::configure(view, options, threads, ask);
            const models::FitState& state =
                engine.run(setup, view, options, random_states[i], threads, ask);
            write(setup, state, out.shape, target_of(out, i));
            recorder.keep(i, state, is_degenerate(setup, state));
        });
    };

    const auto work = [&](std::size_t i) {
        const auto D = static_cast<double>(n_features);
        return static_cast<double>(data[i].n) * static_cast<double>(options.n_components) *
               (D * D + 3.0 * D);
    };
    models::for_data_sets(data.size(), n_threads, poll, work, fit_one);

    recorder.finish();
    return out;
}

}  // namespace vemfast
