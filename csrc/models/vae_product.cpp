#include "models/vae_product.hpp"

#include <algorithm>

#include "isa/dispatch.hpp"
#include "models/vae_share.hpp"

namespace vemfast::models {

namespace {

constexpr std::size_t kRowsOfAPiece = 64;

std::size_t rounded_up(std::size_t n, std::size_t step) {
    return (n + step - 1) / step * step;
}

std::size_t padded(std::size_t width) {
    return rounded_up(width, detail::kVaePad);
}

// Where number (row, column) of a matrix of `rows` rows is in panels.
std::size_t in_panels(std::size_t row, std::size_t column, std::size_t rows) {
    const std::size_t columns = kernels().vae.panel_columns;
    return (column / columns * rows + row) * columns + column % columns;
}

}  // namespace

VaeProduct::VaeProduct(ProductKind kind, const float* a, const float* b, std::size_t M,
                       std::size_t K, std::size_t N, int n_threads)
    : kind_(kind), M_(M), K_(K), N_(N), shares_(n_threads) {
    const bool left = kind == ProductKind::left_transposed;
    const bool right = kind == ProductKind::right_transposed;
    const std::size_t rows_a = left ? K : M, columns_a = left ? M : K;
    const std::size_t rows_b = right ? N : K, columns_b = right ? K : N;
    wide_a_ = padded(columns_a);
    wide_b_ = padded(columns_b);
    wide_c_ = padded(N);
    scratch_floats_ = rounded_up(kernels().vae.panel_floats, 16);
    const std::size_t size_c = rounded_up(M, 16) * wide_c_;
    const std::size_t total = rows_a * wide_a_ + rounded_up(rows_b, 16) * wide_b_ + 2 * size_c +
                              wide_c_ + scratch_floats_ * static_cast<std::size_t>(shares_.most());
    memory_ = exec::allocate(total * sizeof(float));
    a_ = static_cast<float*>(memory_.get());
    std::fill_n(a_, total, 0.0F);
    b_ = a_ + rows_a * wide_a_;
    c_ = b_ + rounded_up(rows_b, 16) * wide_b_;
    slope_ = c_ + size_c;
    intercepts_ = slope_ + size_c;
    scratch_ = intercepts_ + wide_c_;
    for (std::size_t i = 0; i < rows_a; ++i)
        std::copy_n(a + i * columns_a, columns_a, a_ + i * wide_a_);
    for (std::size_t i = 0; i < rows_b; ++i) {
        for (std::size_t j = 0; j < columns_b; ++j)
            b_[left ? i * wide_b_ + j : in_panels(i, j, rows_b)] = b[i * columns_b + j];
    }
}

void VaeProduct::compute(const Poll& poll) {
    const VaeKernels& kernels = vemfast::kernels().vae;
    exec::team(shares_, poll, [&](exec::Team& member) {
        float* scratch = scratch_ + scratch_floats_ * static_cast<std::size_t>(member.slot());
        const std::size_t strips = (N_ + kernels.panel_columns - 1) / kernels.panel_columns;
        const std::size_t piece = rows_of_a_share(member, M_, kRowsOfAPiece, kernels.panel_rows);
        share(member, strips, M_, piece,
              [&](std::size_t strip, std::size_t first, std::size_t end) {
                  if (kind_ == ProductKind::plain)
                      kernels.layer({a_, wide_a_, K_, N_, b_, intercepts_,
                                     detail::Activation::identity, c_, slope_, wide_c_},
                                    strip, first, end);
                  else if (kind_ == ProductKind::right_transposed)
                      kernels.inputs({a_, wide_a_, N_, K_, b_, nullptr, c_, wide_c_}, strip, first,
                                     end, scratch);
                  else
                      kernels.weights({a_, wide_a_, K_, M_, b_, wide_b_, c_, intercepts_}, strip,
                                      first, end, scratch);
              });
    });
}

void VaeProduct::copy_result(float* c) const {
    for (std::size_t i = 0; i < M_; ++i) {
        for (std::size_t j = 0; j < N_; ++j)
            c[i * N_ + j] =
                c_[kind_ == ProductKind::left_transposed ? in_panels(i, j, M_) : i * wide_c_ + j];
    }
}

}  // namespace vemfast::models
