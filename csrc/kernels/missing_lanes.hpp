// Small linear algebra of all components at once: element (a, b) of K matrices stands in one row of
// `stride` doubles, so that the components run along the vector lanes whatever the order of the
// matrices. In double for rows of either type: it is the part of a row's work that a nearly
// singular precision makes inaccurate.
#pragma once

#include "../math/log.hpp"
#include "../math/vec.hpp"
#include "task.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

inline std::size_t packed(std::size_t a, std::size_t b) {  // b <= a
    return a * (a + 1) / 2 + b;
}

// log of a product of many positive numbers that may leave the range of a double: exponents are
// taken out after each factor.
struct LogProduct {
    Vec<double> mantissa = splat<double>(1.0);
    Vec<double> exponent = {};

    void multiply(Vec<double> x) {
        const BitVec<double> bits = as_bits<double>(mantissa * x);
        // The exponent's bits as the low bits of 2^52 + e.
        const BitVec<double> raw = (bits >> 52) | splat_bits<double>(0x4330000000000000);
        exponent += from_bits<double>(raw) - splat<double>(0x1p52 + 1023);
        mantissa = from_bits<double>((bits & splat_bits<double>(0x000fffffffffffff)) |
                                     splat_bits<double>(0x3ff0000000000000));
    }
    Vec<double> value() const {
        return mul_add<double>(exponent, splat<double>(0.693147180559945309417),
                               vlog<double>(mantissa));
    }
};

// Factor of the m x m blocks `feature` of precision (D x D x stride): Lambda_mm = L diag(d) L^T.
// lower (packed, m (m + 1) / 2 x stride) receives L below the diagonal and 1/d on it; `log_det`
// (stride), where given, log |Lambda_mm|. `row` is workspace for m vectors.
static void factor_lanes(const double* precision, std::size_t D, std::size_t stride,
                         const std::int32_t* feature, std::size_t m, double* row, double* lower,
                         double* log_det) {
    constexpr std::size_t W = kLanes<double>;
    for (std::size_t k = 0; k < stride; k += W) {
        LogProduct product;
        for (std::size_t a = 0; a < m; ++a) {
            const double* from = precision + static_cast<std::size_t>(feature[a]) * D * stride + k;
            double* own = lower + packed(a, 0) * stride + k;
            const Vec<double> diagonal =
                load<double>(from + static_cast<std::size_t>(feature[a]) * stride);
            Vec<double> d = diagonal;
            for (std::size_t b = 0; b < a; ++b) {
                Vec<double> u = load<double>(from + static_cast<std::size_t>(feature[b]) * stride);
                const double* other = lower + packed(b, 0) * stride + k;
                for (std::size_t c = 0; c < b; ++c)
                    u -= load<double>(row + c * W) * load<double>(other + c * stride);
                store<double>(row + b * W, u);
                const Vec<double> l = u * load<double>(other + b * stride);
                store<double>(own + b * stride, l);
                d -= u * l;
            }
            // A precision singular to rounding: what keeps its pivot positive.
            d = max<double>(d, diagonal * splat<double>(0x1p-52));
            store<double>(own + a * stride, splat<double>(1.0) / d);
            product.multiply(d);
        }
        if (log_det != nullptr)
            store<double>(log_det + k, product.value());
    }
}

// g (m x stride) becomes Lambda_mm^-1 g. A shared factor is one for all components, in lanes of
// kLaneQuantum equal numbers.
template <bool Shared>
static void solve_lanes(const double* lower, std::size_t stride, std::size_t m, double* g) {
    constexpr std::size_t W = kLanes<double>;
    const std::size_t factor_stride = Shared ? detail::kLaneQuantum : stride;
    for (std::size_t k = 0; k < stride; k += W) {
        const double* factor = Shared ? lower : lower + k;
        for (std::size_t a = 1; a < m; ++a) {
            Vec<double> y = load<double>(g + a * stride + k);
            for (std::size_t b = 0; b < a; ++b)
                y -= load<double>(factor + packed(a, b) * factor_stride) *
                     load<double>(g + b * stride + k);
            store<double>(g + a * stride + k, y);
        }
        for (std::size_t a = m; a-- > 0;) {
            Vec<double> y = load<double>(g + a * stride + k) *
                            load<double>(factor + packed(a, a) * factor_stride);
            for (std::size_t b = a + 1; b < m; ++b)
                y -= load<double>(factor + packed(b, a) * factor_stride) *
                     load<double>(g + b * stride + k);
            store<double>(g + a * stride + k, y);
        }
    }
}

// inverse (packed, m (m + 1) / 2 x stride) = Lambda_mm^-1 from its factor, which is overwritten.
static void invert_lanes(double* lower, std::size_t stride, std::size_t m, double* inverse) {
    constexpr std::size_t W = kLanes<double>;
    for (std::size_t k = 0; k < stride; k += W) {
        double* factor = lower + k;
        const auto at = [&](std::size_t a, std::size_t b) {
            return load<double>(factor + packed(a, b) * stride);
        };
        // L becomes its inverse M row by row: M_ab = -L_ab - sum_{b < c < a} L_ac M_cb.
        for (std::size_t a = 1; a < m; ++a) {
            for (std::size_t b = 0; b < a; ++b) {
                Vec<double> sum = at(a, b);
                for (std::size_t c = b + 1; c < a; ++c)
                    sum += at(a, c) * at(c, b);
                store<double>(factor + packed(a, b) * stride, -sum);
            }
        }
        // M^T diag(1/d) M, M with a unit diagonal.
        for (std::size_t a = 0; a < m; ++a) {
            for (std::size_t b = 0; b <= a; ++b) {
                Vec<double> sum = at(a, a);
                if (b < a)
                    sum *= at(a, b);
                for (std::size_t c = a + 1; c < m; ++c)
                    sum += at(c, a) * at(c, c) * at(c, b);
                store<double>(inverse + packed(a, b) * stride + k, sum);
            }
        }
    }
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
