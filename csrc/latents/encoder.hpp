// The local step of an autoencoder: a continuous z a row, from what the encoder says of it.
//
// The encoder's outputs of a row are the means m of q(z|x) and its log variances l, side by side;
// l is held in [kLeastLogVariance, kLargestLogVariance]. z = m + exp(l / 2) eps. Plain loops over
// some dozen numbers a row: the products around them take the time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "vemfast/version.hpp"

namespace vemfast::detail {

inline constexpr float kLeastLogVariance = -30.0F;
inline constexpr float kLargestLogVariance = 20.0F;

// Plus a quarter of the latent dimension; as in vemfast/reference/vae.py.
inline constexpr std::uint32_t kNoiseStream = 0x20000;

// What the objective has of z beside log p(x|z).
struct LatentRule {
    bool hard = false;     // z is the mean, and the term log p(z); otherwise -kl_weight KL(q || p)
    bool prior = true;     // of the hard rule: whether log p(z) counts
    double kl_weight = 1;  // of the other
};

// Standard normals of a row, by Box and Muller from Philox keyed on (seed, iteration, row).
VEMFAST_API void latent_noise(std::uint64_t seed, std::uint32_t iteration, std::uint64_t row,
                              std::size_t Z, float* out);

// l held in its interval.
float held_log_variance(float value);

// z of a row (Z), from its encoder outputs (2 Z) and its noise; the hard rule takes no noise.
// Returns what the objective has of z, to be added to log p(x|z). `spreads` (2 Z) receives the
// standard deviations of q(z|x), and its variances minus one, for latent_backward.
double latent_forward(const LatentRule& rule, const float* encoded, const float* noise,
                      std::size_t Z, float* z, double* spreads);

// The gradient by the encoder's outputs (2 Z), given that by z, both times the row's weight.
void latent_backward(const LatentRule& rule, const float* encoded, const float* noise,
                     const double* spreads, const float* of_z, double weight, std::size_t Z,
                     float* of_encoded);

}  // namespace vemfast::detail
