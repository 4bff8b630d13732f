#include "api/discrete_choice.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "math/pairwise_sum.hpp"
#include "models/rows_view.hpp"
#include "vemfast/require.hpp"

namespace vemfast::api {

using detail::IndexedFamily;
using models::Kind;

namespace {

// A given start's zeros are raised to this where a prior rules them out.
constexpr double kPossible = 1e-12;

std::vector<std::int64_t> codes_of(Chosen& chosen, const std::string& name, const Rows& rows) {
    const auto D = rows.n_features;
    std::vector<std::int64_t> out;
    if (chosen.find_array(name) == nullptr && chosen.is_given(name)) {
        out.assign(static_cast<std::size_t>(D), chosen.integer(name, 1, 1));
        return out;
    }
    if (chosen.is_given(name)) {
        for (const double size : chosen.spread(name, 1, D)) {
            require(size >= 1 && size == std::floor(size) && size < 2147483648.0, name,
                    " must be whole numbers >= 1; got ", size);
            out.push_back(static_cast<std::int64_t>(size));
        }
        return out;
    }
    const detail::RowsView view = models::view_of(rows);
    out.assign(view.n_features, 1);
    for (std::size_t n = 0; n < view.n_rows; ++n) {
        for (std::size_t d = 0; d < view.n_features; ++d) {
            const double x = models::value_at(view, n, d);
            if (x >= 1 && x < 2147483647.0 &&
                x == std::floor(x)) {  // what is none is refused later
                out[d] = std::max(out[d], static_cast<std::int64_t>(x) + 1);
            }
        }
    }
    return out;
}

std::vector<double> prior_of(Chosen& chosen, const std::string& name, std::size_t n) {
    std::vector<double> values = chosen.spread(name, 1, static_cast<std::int64_t>(n));
    for (const double value : values)
        require(value > 0, name, " must be > 0; got ", value);
    return values;
}

void check_mode(const std::string& name, const std::vector<double>& values) {
    for (const double value : values)
        require(value >= 1, name, "=", value,
                " < 1 has no mode, so a point rung does not take it; use a value >= 1, or "
                "inference='mean-field'");
}

// Starts of the components under their names, by feature.
std::vector<double> given_table(Chosen& chosen, const DiscreteNames& names,
                                const DiscreteChoice& choice) {
    const detail::IndexedShape& shape = choice.mixture->shape();
    const std::size_t K = shape.n_components;
    const auto k = static_cast<std::int64_t>(K);
    const std::string name = names.table + "_init";
    if (names.family != IndexedFamily::categorical) {
        const auto shown =
            chosen.array(name, {k, static_cast<std::int64_t>(choice.reader.n_features)});
        for (const double value : shown)
            require(value >= 0 && (names.family == IndexedFamily::poisson || value <= 1), name,
                    names.family == IndexedFamily::poisson ? " must be >= 0; got "
                                                           : " must be from 0 to 1; got ",
                    value);
        return transposed(shown.data(), shown.empty() ? 0 : K, choice.reader.n_features);
    }
    std::vector<double> out;
    std::size_t n_given = 0;
    for (std::size_t d = 0; d < choice.reader.n_features; ++d) {
        const auto width = static_cast<std::size_t>(choice.reader.n_categories[d]);
        const std::string own = choice.is_numbered(names) ? name + "." + std::to_string(d) : name;
        std::vector<double> shown = chosen.array(own, {k, choice.reader.n_categories[d]});
        n_given += shown.empty() ? 0 : 1;
        for (std::size_t row = 0; row < (shown.empty() ? 0 : K); ++row) {
            const std::span<double> codes(shown.data() + row * width, width);
            const double sum = detail::pairwise_sum(codes);
            for (double& p : codes) {
                require(p >= 0, own, " must be >= 0; got ", p);
                p /= sum;
            }
            require(std::abs(sum - 1.0) <= 1e-6, own, " must sum to 1; row ", row, " sums to ",
                    sum);
        }
        const auto table = transposed(shown.data(), shown.empty() ? 0 : K, width);
        out.insert(out.end(), table.begin(), table.end());
    }
    require(n_given == 0 || n_given == choice.reader.n_features, name,
            " must be given for every column, or for none");
    return out;
}

// Sums over the codes of each column, F x K: each column's at all of its codes. In NumPy's order.
std::vector<double> sums_of_columns(const detail::IndexedShape& shape, const double* table) {
    const std::size_t K = shape.n_components;
    std::vector<double> out(shape.n_values * K);
    std::vector<double> rest;
    for (std::size_t d = 0; d + 1 < shape.column_offsets.size(); ++d) {
        const auto begin = static_cast<std::size_t>(shape.column_offsets[d]);
        const auto end = static_cast<std::size_t>(shape.column_offsets[d + 1]);
        for (std::size_t k = 0; k < K; ++k) {
            rest.clear();
            for (std::size_t f = begin + 1; f < end; ++f)
                rest.push_back(table[f * K + k]);
            const double sum = table[begin * K + k] + detail::pairwise_sum(rest);
            for (std::size_t f = begin; f < end; ++f)
                out[f * K + k] = sum;
        }
    }
    return out;
}

// Under a proper prior nothing may begin as quite impossible.
void make_possible(IndexedFamily family, const detail::IndexedShape& shape,
                   std::vector<double>& table) {
    for (double& value : table) {
        value = std::max(value, kPossible);
        if (family == IndexedFamily::bernoulli)
            value = std::min(value, 1.0 - kPossible);
    }
    if (family != IndexedFamily::categorical || table.empty())
        return;
    const std::vector<double> sums = sums_of_columns(shape, table.data());
    for (std::size_t i = 0; i < table.size(); ++i)
        table[i] /= sums[i];
}

}  // namespace

DiscreteChoice choose_discrete(Chosen& chosen, const DiscreteNames& names, const Rows& rows,
                               detail::Weights weights, bool is_point) {
    require(rows.n > 0 && rows.n_features > 0, "X has ", rows.n, " rows and ", rows.n_features,
            " features; at least one of each is needed");
    require(rows.data != nullptr, "X has ", rows.n, " rows, but its pointer is null");
    const bool codes = names.family == IndexedFamily::categorical;
    DiscreteChoice out;
    out.reader.family = names.family;
    out.reader.n_features = static_cast<std::size_t>(rows.n_features);
    if (names.family == IndexedFamily::bernoulli && names.is_mixture)
        out.reader.binarize = chosen.maybe_real("binarize");
    if (codes)
        out.reader.n_categories = codes_of(chosen, names.sizes, rows);
    out.reader.takes_nan = chosen.word("missing", {"error", "marginalize"}) == 1;
    out.data = std::make_unique<IndexedData>(out.reader, rows);

    detail::IndexedShape shape{weights.n_components,
                               out.reader.n_features,
                               out.reader.n_features,
                               {},
                               out.reader.takes_nan};
    if (codes) {
        shape.column_offsets.assign(1, 0);
        for (const std::int64_t size : out.reader.n_categories)
            shape.column_offsets.push_back(shape.column_offsets.back() + size);
        shape.n_values = static_cast<std::size_t>(shape.column_offsets.back());
    }
    const std::size_t F = shape.n_values;
    require(!codes || !chosen.find_array(names.priors[0]), names.priors[0], " must be a number");
    const std::vector<double> a = prior_of(chosen, names.priors[0], F);
    const std::vector<double> b =
        codes ? std::vector<double>{} : prior_of(chosen, names.priors[1], F);
    detail::IndexedPrior prior{!is_point || !a.empty() || !b.empty(), a, b};
    if (a.empty())
        prior.a.assign(F, 1.0);
    if (b.empty() && !codes)
        prior.b.assign(F, 1.0);
    if (is_point && prior.is_proper) {
        check_mode(names.priors[0], prior.a);
        if (names.family == IndexedFamily::bernoulli)
            check_mode(names.priors[1], prior.b);
    }
    if (names.family == IndexedFamily::poisson && prior.is_proper && b.empty())
        out.shapes = prior.a;  // and rates by the data's means
    const bool is_proper = prior.is_proper;
    out.mixture = std::make_unique<models::DiscreteMixture>(
        weights, detail::make_indexed(names.family, std::move(shape), std::move(prior)));
    out.table = given_table(chosen, names, out);
    if (is_proper)
        make_possible(names.family, out.mixture->shape(), out.table);
    return out;
}

void add_components(const DiscreteChoice& choice, const DiscreteNames& names, Kind kind,
                    const double* components, Attributes& out) {
    const detail::IndexedShape& shape = choice.mixture->shape();
    const std::size_t K = shape.n_components;
    const std::size_t size = shape.n_values * K;
    const bool codes = names.family == IndexedFamily::categorical;
    const auto k = static_cast<std::int64_t>(K);
    const auto show = [&](const std::string& name, const double* table) {
        if (!codes) {
            out.arrays[name] = {{k, static_cast<std::int64_t>(shape.n_values)},
                                transposed(table, shape.n_values, K)};
            return;
        }
        for (std::size_t d = 0; d < choice.reader.n_features; ++d) {
            const auto width = choice.reader.n_categories[d];
            const auto n = static_cast<std::size_t>(width);
            const std::string own =
                choice.is_numbered(names) ? name + "." + std::to_string(d) : name;
            out.arrays[own] = {{k, width}, transposed(table, n, K)};
            table += n * K;
        }
    };
    if (codes) {
        const std::vector<std::int64_t>& sizes = choice.reader.n_categories;
        out.arrays["n_categories_"] = {{static_cast<std::int64_t>(sizes.size())},
                                       {sizes.begin(), sizes.end()}};
    }
    if (kind == Kind::point) {
        show(names.table + "_", components);
        return;
    }
    for (std::size_t i = 0; i < names.posterior.size(); ++i)
        show(names.posterior[i], components + i * size);
    std::vector<double> mean(components, components + size);
    const std::vector<double> sums =
        codes ? sums_of_columns(shape, components) : std::vector<double>{};
    for (std::size_t i = 0; i < size; ++i) {
        if (codes)
            mean[i] /= sums[i];
        else if (names.family == IndexedFamily::bernoulli)
            mean[i] /= components[i] + components[size + i];
        else
            mean[i] /= components[size + i];
    }
    show(names.table + "_", mean.data());
}

}  // namespace vemfast::api
