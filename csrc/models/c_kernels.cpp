// vemfast/kernels.h: special functions and mixtures.
#include "models/c_kernels.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "isa/dispatch.hpp"
#include "models/gaussian_mixture.hpp"
#include "vemfast/special.hpp"

namespace vemfast::models {

namespace {

using Map = SpecialEntry<double>::Map;

int map_array(Map SpecialEntry<double>::* function, const double* x, std::ptrdiff_t n,
              double* out) {
    if (n < 0)
        return VEMFAST_KERNEL_SIZE;
    if (n == 0)
        return VEMFAST_KERNEL_OK;
    if (x == nullptr || out == nullptr)
        return VEMFAST_KERNEL_NULL;
    return guarded([&] {
        (kernels().special.on_double.*function)(x, static_cast<std::size_t>(n), out);
        return VEMFAST_KERNEL_OK;
    });
}

int check_matrix(const double* x, std::ptrdiff_t n, std::ptrdiff_t K) {
    if (n < 0 || K < 1)
        return VEMFAST_KERNEL_SIZE;
    return n > 0 && x == nullptr ? VEMFAST_KERNEL_NULL : VEMFAST_KERNEL_OK;
}

// Rows of responsibilities at a time: their scores stay in cache.
constexpr std::size_t kRows = 256;

void responsibilities(const double* log_joint, std::size_t n, std::size_t K, double* out,
                      double* log_density) {
    const SpecialEntry<double>& special = kernels().special.on_double;
    double density[kRows];
    for (std::size_t first = 0; first < n; first += kRows) {
        const std::size_t count = std::min(kRows, n - first);
        const double* from = log_joint + first * K;
        double* to = out + first * K;
        special.logsumexp(from, count, K, density);
        for (std::size_t i = 0; i < count; ++i) {
            // A row of zero probability: exp(-inf - 0) is 0.
            const double shift = density[i] > -HUGE_VAL ? density[i] : 0.0;
            for (std::size_t k = 0; k < K; ++k)
                to[i * K + k] = std::fmin(from[i * K + k] - shift, 0.0);
            if (log_density != nullptr)
                log_density[first + i] = density[i];
        }
        special.exp_nonpositive(to, count * K, to);
    }
}

// Numbers of the covariances, 0 for a type that is none.
std::size_t covariances_size(int type, std::size_t K, std::size_t D) {
    switch (type) {
        case VEMFAST_KERNEL_FULL:
            return K * D * D;
        case VEMFAST_KERNEL_TIED:
            return D * D;
        case VEMFAST_KERNEL_DIAG:
            return K * D;
        case VEMFAST_KERNEL_SPHERICAL:
            return K;
        case VEMFAST_KERNEL_TIED_SPHERICAL:
            return 1;
        default:
            return 0;
    }
}

struct GaussianPoint {
    std::size_t K, D;
    int type;
    const double* weights;
    const double* means;
    const double* covariances;
};

bool is_valid(const GaussianPoint& point) {
    const std::size_t size = covariances_size(point.type, point.K, point.D);
    return all_not_negative(point.weights, point.K) && all_finite(point.means, point.K * point.D) &&
           all_finite(point.covariances, size) &&
           (point.type < VEMFAST_KERNEL_DIAG || all_positive(point.covariances, size));
}

// The scores of a point, about the mean of its means.
ScoreTable table_of(const GaussianPoint& point) {
    const std::size_t K = point.K;
    const std::size_t D = point.D;
    std::vector<double> origin(D, 0.0);
    for (std::size_t i = 0; i < K * D; ++i)
        origin[i % D] += point.means[i] / static_cast<double>(K);
    std::vector<double> params(point.weights, point.weights + K);
    for (std::size_t i = 0; i < K * D; ++i)
        params.push_back(point.means[i] - origin[i % D]);
    params.insert(params.end(), point.covariances,
                  point.covariances + covariances_size(point.type, K, D));
    detail::Gaussian components(static_cast<detail::Covariance>(point.type), K, D, {},
                                std::vector<double>(D, 1.0), 0.0);
    const GaussianMixture model({detail::WeightPrior::flat, 1.0, K}, std::move(components), origin);
    return model.prepare(Kind::point, params.data());
}

}  // namespace

}  // namespace vemfast::models

using namespace vemfast;  // the functions below have no namespace

const char* vemfast_kernel_message(int status) {
    switch (status) {
        case VEMFAST_KERNEL_OK:
            return "no error";
        case VEMFAST_KERNEL_NULL:
            return "an array that is not optional is a null pointer";
        case VEMFAST_KERNEL_SIZE:
            return "a size is negative, or zero where at least one is needed, or the covariance "
                   "type is unknown";
        case VEMFAST_KERNEL_VALUE:
            return "NaN, infinity, or a negative probability, count or concentration";
        case VEMFAST_KERNEL_INDEX:
            return "a word is not in 0..n_words-1";
        case VEMFAST_KERNEL_SINGULAR:
            return "a covariance is not positive definite";
        case VEMFAST_KERNEL_IMPOSSIBLE:
            return "no path or no topic with a positive probability can have made the data";
        case VEMFAST_KERNEL_MEMORY:
            return "out of memory";
        case VEMFAST_KERNEL_FAILED:
            return "the library cannot run here: VEMFAST_ISA names a level that it does not have";
        default:
            return "unknown status";
    }
}

double vemfast_digamma(double x) {
    return special::digamma(x);
}
double vemfast_exp_digamma(double x) {
    return std::exp(special::digamma(x));
}
double vemfast_lgamma(double x) {
    return special::lgamma(x);
}

int vemfast_exp_array(const double* x, ptrdiff_t n, double* out) {
    return models::map_array(&SpecialEntry<double>::exp, x, n, out);
}
int vemfast_log_array(const double* x, ptrdiff_t n, double* out) {
    return models::map_array(&SpecialEntry<double>::log, x, n, out);
}
int vemfast_digamma_array(const double* x, ptrdiff_t n, double* out) {
    return models::map_array(&SpecialEntry<double>::digamma, x, n, out);
}
int vemfast_exp_digamma_array(const double* x, ptrdiff_t n, double* out) {
    return models::map_array(&SpecialEntry<double>::exp_digamma, x, n, out);
}
int vemfast_lgamma_array(const double* x, ptrdiff_t n, double* out) {
    return models::map_array(&SpecialEntry<double>::lgamma, x, n, out);
}

int vemfast_logsumexp_rows(const double* scores, ptrdiff_t n, ptrdiff_t K, double* out) {
    const int status = models::check_matrix(scores, n, K);
    if (status != VEMFAST_KERNEL_OK || n == 0)
        return status;
    if (out == nullptr)
        return VEMFAST_KERNEL_NULL;
    return models::guarded([&] {
        kernels().special.on_double.logsumexp(scores, static_cast<std::size_t>(n),
                                              static_cast<std::size_t>(K), out);
        return VEMFAST_KERNEL_OK;
    });
}

int vemfast_responsibilities(const double* log_joint, ptrdiff_t n, ptrdiff_t K,
                             double* responsibilities, double* log_density) {
    const int status = models::check_matrix(log_joint, n, K);
    if (status != VEMFAST_KERNEL_OK || n == 0)
        return status;
    if (responsibilities == nullptr)
        return VEMFAST_KERNEL_NULL;
    const auto rows = static_cast<std::size_t>(n);
    const auto columns = static_cast<std::size_t>(K);
    if (!models::all_logarithms(log_joint, rows * columns))
        return VEMFAST_KERNEL_VALUE;
    return models::guarded([&] {
        models::responsibilities(log_joint, rows, columns, responsibilities, log_density);
        return VEMFAST_KERNEL_OK;
    });
}

int vemfast_gaussian_responsibilities(const double* X, ptrdiff_t n, ptrdiff_t D, ptrdiff_t K,
                                      int covariance_type, const double* weights,
                                      const double* means, const double* covariances,
                                      double* responsibilities, double* log_density) {
    if (n < 0 || D < 1 || K < 1 || models::covariances_size(covariance_type, 1, 1) == 0)
        return VEMFAST_KERNEL_SIZE;
    if ((X == nullptr && n > 0) || weights == nullptr || means == nullptr || covariances == nullptr)
        return VEMFAST_KERNEL_NULL;
    const models::GaussianPoint point{static_cast<std::size_t>(K),
                                      static_cast<std::size_t>(D),
                                      covariance_type,
                                      weights,
                                      means,
                                      covariances};
    const auto rows = static_cast<std::size_t>(n);
    if (!models::is_valid(point) || !models::all_finite(X, rows * point.D))
        return VEMFAST_KERNEL_VALUE;
    return models::guarded([&] {
        const models::ScoreTable table = models::table_of(point);
        detail::RowsView view;
        view.data = X;
        view.row_stride = D;
        view.column_stride = 1;
        view.n_rows = rows;
        view.n_features = point.D;
        detail::AssignOutputs out;
        out.responsibilities = responsibilities;
        out.log_density = log_density;
        models::assign(table, view, out, 1, {});
        return VEMFAST_KERNEL_OK;
    });
}
