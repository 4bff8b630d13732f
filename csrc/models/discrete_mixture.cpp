#include "models/discrete_mixture.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "isa/dispatch.hpp"
#include "models/indexed_pass.hpp"
#include "models/row_pass.hpp"
#include "vemfast/random.hpp"
#include "vemfast/special.hpp"

namespace vemfast::models {

using detail::IndexedNatural;
using detail::IndexedRows;
using detail::IndexedStats;
using detail::Storage;

// ---- DiscreteMixture -----------------------------------------------------------------------

DiscreteMixture::DiscreteMixture(detail::Weights weights,
                                 std::unique_ptr<detail::Indexed> components)
    : weights_(weights), components_(std::move(components)) {}

std::size_t DiscreteMixture::stats_size() const {
    return detail::indexed_stats_size(n_components(), shape().n_indexed());
}

std::size_t DiscreteMixture::params_size(Kind kind) const {
    if (kind == Kind::point)
        return weights_.point_size() + components_->point_size();
    return weights_.posterior_size() + components_->posterior_size();
}

const double* DiscreteMixture::components_of(Kind kind, const double* params) const {
    return params + (kind == Kind::point ? weights_.point_size() : weights_.posterior_size());
}

IndexedNatural DiscreteMixture::natural(Kind kind, const double* params) const {
    const double* components = components_of(kind, params);
    IndexedNatural out = kind == Kind::point ? components_->natural(components)
                                             : components_->expected_natural(components);
    std::vector<double> log_weights(n_components());
    if (kind == Kind::posterior)
        weights_.expected_log(params, log_weights.data());
    else
        weights_.log_of(params, log_weights.data());
    for (std::size_t k = 0; k < n_components(); ++k)
        out.constant[k] += log_weights[k];
    return out;
}

IndexedTable DiscreteMixture::prepare(Kind kind, const double* params) const {
    return {components_->family(), shape(), natural(kind, params)};
}

void DiscreteMixture::update(ParameterRule rule, Kind previous_kind, const double* previous,
                             const double* stats, std::uint64_t seed, std::uint32_t iteration,
                             double* out) const {
    const std::size_t K = n_components();
    const double* counts = stats + 2;
    const IndexedStats sums{counts, counts + K};
    double* target = out + weights_.point_size();
    if (rule == ParameterRule::posterior) {
        weights_.posterior(counts, out);
        components_->posterior(sums, out + weights_.posterior_size());
        return;
    }
    if (rule == ParameterRule::sampled) {
        random::Stream stream(seed, iteration, random::kParameterStream, 0);
        weights_.sample(counts, stream, out);
        components_->sample(sums, seed, iteration, target);
        return;
    }
    weights_.mode(counts, out);
    // What a component without data keeps.
    if (previous == nullptr) {
        components_->start(target);
    } else if (previous_kind == Kind::point) {
        const double* last = components_of(previous_kind, previous);
        std::copy(last, last + components_->point_size(), target);
    } else {
        components_->mean(components_of(previous_kind, previous), target);
    }
    components_->mode(sums, target);
}

double DiscreteMixture::global_term(Kind kind, const double* params) const {
    const double* components = components_of(kind, params);
    if (kind == Kind::point)
        return weights_.log_prior(params) + components_->log_prior(components);
    return -weights_.kl(params) - components_->kl(components);
}

double DiscreteMixture::expected_log_joint(Kind kind, const double* params,
                                           const double* stats) const {
    const double* counts = stats + 2;
    return components_->expected_log_density(natural(kind, params),
                                             {counts, counts + n_components()});
}

void DiscreteMixture::mean_weights(const double* posterior, double* out) const {
    weights_.mean(posterior, out);
}

// ---- passes over the rows ------------------------------------------------------------------

detail::BlockShape indexed_block_shape(std::size_t n_indexed, std::size_t n_components,
                                       bool is_float, bool grouped) {
    // The responsibilities of a tile stay in a first-level cache of 32 KB beside some of the sums;
    // with groups of bits, of which there are fewer to a row and more kinds, a larger tile in the
    // second level is quicker. A leaf has so many rows that to add its statistics to those of
    // another costs little.
    constexpr std::size_t kQuantum = 64;  // rows; any vector width divides it
    constexpr std::size_t kLargest = 512;
    constexpr std::size_t kLargestLeaf = 16384;
    const std::size_t row = n_components * (is_float ? 4 : 8);
    const auto tile = [&](std::size_t bytes) {
        return std::clamp(bytes / row / kQuantum * kQuantum, kQuantum, kLargest);
    };
    const std::size_t few = tile(std::size_t{27} << 10);
    const std::size_t leaf = std::clamp(2 * n_indexed, 4 * few, kLargestLeaf);
    return {grouped ? tile(std::size_t{108} << 10) : few,
            (leaf + kLargest - 1) / kLargest * kLargest};
}

namespace {

template <class T>
const IndexedEntry<T>& entry() {
    if constexpr (sizeof(T) == 4)
        return kernels().indexed.on_float;
    else
        return kernels().indexed.on_double;
}

template <class T>
std::size_t groups_of(const IndexedTable& table) {
    return detail::bit_groups(table.family, table.shape.marginalize, table.shape.n_features,
                              table.shape.n_components, sizeof(T) == 4);
}

struct Plan {
    RowPass pass;
    detail::IndexedSizes sizes;
};

template <class T>
Plan plan_for(const IndexedTable& table, const IndexedRows& rows, int n_threads) {
    const std::size_t K = table.shape.n_components;
    const std::size_t n_indexed = table.shape.n_indexed();
    const std::size_t groups = groups_of<T>(table);
    const detail::BlockShape shape = indexed_block_shape(n_indexed, K, sizeof(T) == 4, groups > 0);
    const detail::IndexedSizes sizes = indexed_sizes(table, rows, shape.tile_rows, groups);
    const std::size_t bytes = entry<T>().workspace_bytes(sizes);
    return {{rows.n_rows, shape.leaf_rows, bytes, n_threads}, sizes};
}

template <class T>
void run_e_step(const IndexedTable& table, const IndexedRows& rows, detail::LocalRule rule,
                std::uint64_t seed, std::uint32_t iteration, int n_threads, const Poll& poll,
                double* stats) {
    const Plan plan = plan_for<T>(table, rows, n_threads);
    const PackedTable<T> packed(table, plan.sizes.n_groups);
    detail::IndexedTask<T> task = task_for<T>(table, packed, rows, plan.sizes.n_groups);
    task.rule = rule;
    task.seed = seed;
    task.iteration = iteration;
    const auto add = [&](std::size_t first, std::size_t n, void* memory, double* out) {
        entry<T>().estep(task, first, n, plan.sizes, memory, out);
    };
    const std::size_t size =
        detail::indexed_stats_size(table.shape.n_components, table.shape.n_indexed());
    sum_over_rows(plan.pass, size, poll, add, stats);
}

template <class T>
void run_assign(const IndexedTable& table, const IndexedRows& rows,
                const detail::AssignOutputs& out, int n_threads, const Poll& poll) {
    const Plan plan = plan_for<T>(table, rows, n_threads);
    const PackedTable<T> packed(table, plan.sizes.n_groups);
    const detail::IndexedTask<T> task = task_for<T>(table, packed, rows, plan.sizes.n_groups);
    for_each_leaf(plan.pass, poll, [&](std::size_t first, std::size_t n, void* memory) {
        entry<T>().assign(task, first, n, plan.sizes, memory, out);
    });
}

// log x!, from a table for the small counts that most are.
class LogFactorials {
  public:
    LogFactorials() {
        for (std::size_t x = 0; x < kSize; ++x)
            table_[x] = special::lgamma(static_cast<double>(x) + 1.0);
    }
    double operator()(double x) const {
        return x < kSize ? table_[static_cast<std::size_t>(x)] : special::lgamma(x + 1.0);
    }

  private:
    static constexpr std::size_t kSize = 256;
    double table_[kSize];
};

template <class Count>
double row_base_measure(const IndexedRows& rows, std::size_t n,
                        const LogFactorials& log_factorial) {
    double sum = 0;
    const auto add = [&](Count x) {
        if (x > 1)  // not NaN
            sum -= log_factorial(static_cast<double>(x));
    };
    const Count* values =
        static_cast<const Count*>(detail::is_csr(rows.storage) ? rows.values : rows.data);
    if (detail::is_csr(rows.storage)) {
        for (std::int64_t i = rows.indptr[n]; i < rows.indptr[n + 1]; ++i)
            add(values[i]);
    } else {
        const Count* row = values + static_cast<std::ptrdiff_t>(n) * rows.row_stride;
        for (std::size_t d = 0; d < rows.n_features; ++d)
            add(row[static_cast<std::ptrdiff_t>(d) * rows.column_stride]);
    }
    return sum;
}

}  // namespace

void e_step(const IndexedTable& table, const IndexedRows& rows, bool is_float,
            detail::LocalRule rule, std::uint64_t seed, std::uint32_t iteration, int n_threads,
            const Poll& poll, double* stats) {
    if (is_float)
        run_e_step<float>(table, rows, rule, seed, iteration, n_threads, poll, stats);
    else
        run_e_step<double>(table, rows, rule, seed, iteration, n_threads, poll, stats);
}

void assign(const IndexedTable& table, const IndexedRows& rows, bool is_float,
            const detail::AssignOutputs& out, int n_threads, const Poll& poll) {
    if (is_float)
        run_assign<float>(table, rows, out, n_threads, poll);
    else
        run_assign<double>(table, rows, out, n_threads, poll);
}

void log_base_measure(const IndexedRows& rows, int n_threads, const Poll& poll, double* out) {
    const LogFactorials log_factorial;
    const bool in_float =
        rows.storage == Storage::float_counts || rows.storage == Storage::csr_float;
    const bool has_counts =
        in_float || rows.storage == Storage::double_counts || rows.storage == Storage::csr_double;
    const RowPass pass{rows.n_rows, 4096, 1, n_threads};
    for_each_leaf(pass, poll, [&](std::size_t first, std::size_t n, void*) {
        for (std::size_t i = first; i < first + n; ++i) {
            if (!has_counts)
                out[i] = 0;
            else if (in_float)
                out[i] = row_base_measure<float>(rows, i, log_factorial);
            else
                out[i] = row_base_measure<double>(rows, i, log_factorial);
        }
    });
}

}  // namespace vemfast::models
