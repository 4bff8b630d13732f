#include "latents/encoder.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "vemfast/random.hpp"

namespace vemfast::detail {

void latent_noise(std::uint64_t seed, std::uint32_t iteration, std::uint64_t row, std::size_t Z,
                  float* out) {
    for (std::size_t j = 0; j < Z; j += 4) {
        const random::Words words =
            random::philox({static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(row >> 32),
                            iteration, kNoiseStream + static_cast<std::uint32_t>(j / 4)},
                           seed);
        for (std::size_t pair = 0; pair < 4 && j + pair < Z; pair += 2) {
            const double radius = std::sqrt(-2.0 * std::log((words[pair] + 0.5) * 0x1p-32));
            const double angle = 2.0 * std::numbers::pi * ((words[pair + 1] + 0.5) * 0x1p-32);
            out[j + pair] = static_cast<float>(radius * std::cos(angle));
            if (j + pair + 1 < Z)
                out[j + pair + 1] = static_cast<float>(radius * std::sin(angle));
        }
    }
}

float held_log_variance(float value) {
    return std::clamp(value, kLeastLogVariance, kLargestLogVariance);
}

double latent_forward(const LatentRule& rule, const float* encoded, const float* noise,
                      std::size_t Z, float* z, double* spreads) {
    if (rule.hard) {
        double squares = 0;
        for (std::size_t j = 0; j < Z; ++j) {
            z[j] = encoded[j];
            squares += static_cast<double>(z[j]) * z[j];
        }
        const double constant = static_cast<double>(Z) * std::log(2.0 * std::numbers::pi);
        return rule.prior ? -0.5 * (squares + constant) : 0.0;
    }
    double divergence = 0;
    for (std::size_t j = 0; j < Z; ++j) {
        const double m = encoded[j];
        const double l = held_log_variance(encoded[Z + j]);
        spreads[j] = std::exp(0.5 * l);
        spreads[Z + j] = std::expm1(l);
        divergence += m * m + spreads[Z + j] - l;
        z[j] = encoded[j] + static_cast<float>(spreads[j]) * noise[j];
    }
    return -rule.kl_weight * 0.5 * divergence;
}

void latent_backward(const LatentRule& rule, const float* encoded, const float* noise,
                     const double* spreads, const float* of_z, double weight, std::size_t Z,
                     float* of_encoded) {
    for (std::size_t j = 0; j < Z; ++j) {
        const double m = encoded[j];
        if (rule.hard) {
            of_encoded[j] = of_z[j] - static_cast<float>(rule.prior ? weight * m : 0.0);
            of_encoded[Z + j] = 0;
            continue;
        }
        const bool inside = held_log_variance(encoded[Z + j]) == encoded[Z + j];
        const double by_draw = 0.5 * of_z[j] * spreads[j] * noise[j];
        const double by_divergence = 0.5 * rule.kl_weight * weight * spreads[Z + j];
        of_encoded[j] = static_cast<float>(of_z[j] - rule.kl_weight * weight * m);
        of_encoded[Z + j] = inside ? static_cast<float>(by_draw - by_divergence) : 0.0F;
    }
}

}  // namespace vemfast::detail
