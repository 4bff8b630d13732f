// Draws of Gaussian components from their conjugate posterior.
#include <cmath>

#include "../math/dense.hpp"
#include "../math/scratch.hpp"
#include "gaussian.hpp"
#include "gaussian_roots.hpp"

namespace vemfast::detail {

namespace {

// Sigma drawn from the inverse Wishart by Bartlett's decomposition of its inverse.
void draw_inverse_wishart(const double* scale, double freedom, std::size_t D, std::size_t component,
                          random::Stream& stream, double* covariance) {
    Scratch inverse(D * D);
    inverse_root_of(scale, D, component, nullptr, inverse.data());
    Scratch root(D * D);
    gram_lower(inverse.data(), D, root.data());  // Psi^-1
    if (!cholesky(root.data(), D))
        not_positive_definite(component);
    Scratch bartlett(D * D, 0.0);
    for (std::size_t i = 0; i < D; ++i) {
        for (std::size_t j = 0; j < i; ++j)
            bartlett[i * D + j] = stream.normal();
        bartlett[i * D + i] = std::sqrt(stream.chi2(freedom - static_cast<double>(i)));
    }
    Scratch product(D * D, 0.0);
    for (std::size_t i = 0; i < D; ++i) {
        for (std::size_t p = 0; p <= i; ++p) {
            const double left = root[i * D + p];
            for (std::size_t j = 0; j <= p; ++j)
                product[i * D + j] += left * bartlett[p * D + j];
        }
    }
    invert_lower(product.data(), D, root.data());
    gram_lower(root.data(), D, covariance);
}

}  // namespace

void Gaussian::sample(const double* counts, const double* sums, const double* scatter,
                      std::uint64_t seed, std::uint32_t iteration,
                      GaussianFields<double> out) const {
    const std::size_t size = covariance_size();
    const double d = static_cast<double>(D_);
    Scratch precision(K_, 0.0);
    Scratch freedom(n_covariances(), 0.0);
    Scratch scale(n_covariances() * size, 0.0);
    posterior(counts, sums, scatter, {out.means, precision.data(), freedom.data(), scale.data()});
    const auto draw_covariance = [&](std::size_t c, random::Stream& stream) {
        double* covariance = out.scale + c * size;
        const double* psi = scale.data() + c * size;
        if (matrix()) {
            draw_inverse_wishart(psi, freedom[c], D_, c, stream, covariance);
        } else if (kind_ == Covariance::diag) {
            for (std::size_t i = 0; i < D_; ++i)
                covariance[i] = 0.5 * psi[i] / stream.gamma(0.5 * freedom[c]);
        } else {
            covariance[0] = 0.5 * d * psi[0] / stream.gamma(0.5 * d * freedom[c]);
        }
    };
    Scratch root(matrix() ? size : 0);
    if (shared()) {
        random::Stream stream(seed, iteration, random::kParameterStream, K_ + 1);
        draw_covariance(0, stream);
        if (matrix())
            root_of(out.scale, D_, 0, root.data());
    }
    Scratch noise(D_);
    for (std::size_t k = 0; k < K_; ++k) {
        random::Stream stream(seed, iteration, random::kParameterStream, k + 1);
        if (!shared()) {
            draw_covariance(k, stream);
            if (matrix())
                root_of(out.scale + k * size, D_, k, root.data());
        }
        for (std::size_t i = 0; i < D_; ++i)
            noise[i] = stream.normal();
        const double* covariance = out.scale + (shared() ? 0 : k * size);
        const double width = 1.0 / std::sqrt(precision[k]);
        for (std::size_t i = 0; i < D_; ++i) {
            double step = 0;
            if (matrix()) {
                for (std::size_t j = 0; j <= i; ++j)
                    step += root[i * D_ + j] * noise[j];
            } else {
                step = std::sqrt(covariance[kind_ == Covariance::diag ? i : 0]) * noise[i];
            }
            out.means[k * D_ + i] += width * step;
        }
    }
}

}  // namespace vemfast::detail
