// Philox's known answers, and the identity of the two native forms: the public header's and the
// kernels'. Distributions are tested in Python (tests/oracles/test_random.py).
#include <cmath>
#include <cstdint>
#include <vector>

#include "check.hpp"
#include "isa/dispatch.hpp"
#include "vemfast/random.hpp"

namespace {

using vemfast::kernels;
using namespace vemfast::random;

// From the kat_vectors file of the authors' Random123 library.
TEST_CASE(philox_known_answers) {
    CHECK((philox({0, 0, 0, 0}, 0) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
    CHECK((philox({~0U, ~0U, ~0U, ~0U}, ~std::uint64_t{0}) ==
           Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
    CHECK((philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822) ==
           Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST_CASE(uniforms_are_inside_the_interval) {
    CHECK(to_uniform(0, 0) == 0x1p-53);
    CHECK(to_uniform(~0U, ~0U) == 1.0 - 0x1p-53);
    CHECK(to_uniform(0, 1U << 12) == 0x1.8p-52);
    CHECK(to_uniform(1U << 31, 0) == 0.5 + 0x1p-53);
}

TEST_CASE(kernels_draw_the_same_uniforms) {
    constexpr std::uint64_t kSeed = 0xfedcba9876543210;
    constexpr std::size_t kRows = 37;
    for (const std::uint64_t first :
         {std::uint64_t{0}, std::uint64_t{0xffffffe0}, std::uint64_t{0xffffffffffffffe0}}) {
        std::vector<double> u(kRows + 1, -1.0);
        kernels().special.uniforms(kSeed, 5, first, kRowStream, kRows, u.data());
        for (std::size_t i = 0; i < kRows; ++i)
            CHECK(u[i] == uniform(kSeed, 5, first + i, kRowStream));
        CHECK(u[kRows] == -1.0);
    }
}

// What must not change the draw of a row changes nothing, and what must, does.
TEST_CASE(every_part_of_the_counter_counts) {
    const double u = uniform(1, 2, 3, kRowStream);
    CHECK(u == uniform(1, 2, 3, kRowStream));
    CHECK(u != uniform(1 + (std::uint64_t{1} << 32), 2, 3, kRowStream));
    CHECK(u != uniform(2, 2, 3, kRowStream));
    CHECK(u != uniform(1, 3, 3, kRowStream));
    CHECK(u != uniform(1, 2, 4, kRowStream));
    CHECK(u != uniform(1, 2, 3 + (std::uint64_t{1} << 32), kRowStream));
    CHECK(u != uniform(1, 2, 3, kStartStream));
}

TEST_CASE(streams) {
    Stream a(9, 1, kParameterStream, 4);
    Stream b(9, 1, kParameterStream, 5);
    const Words words = philox({0, 4, 1, kParameterStream}, 9);
    CHECK(a.uniform() == to_uniform(words[0], words[1]));
    CHECK(a.uniform() == to_uniform(words[2], words[3]));
    CHECK(a.uniform() == to_uniform(philox({1, 4, 1, kParameterStream}, 9)[0],
                                    philox({1, 4, 1, kParameterStream}, 9)[1]));
    CHECK(b.uniform() != to_uniform(words[0], words[1]));
}

// log_gamma_draw and dirichlet are the draws of gamma, where those can be represented.
TEST_CASE(logarithmic_draws) {
    Stream a(3, 0, kParameterStream, 0);
    Stream b(3, 0, kParameterStream, 0);
    for (const double shape : {0.3, 1.0, 2.5, 100.0}) {
        const double draw = a.gamma(shape);
        CHECK(std::abs(std::exp(b.log_gamma_draw(shape)) - draw) <= 1e-14 * draw);
    }
    const double tiny[] = {1e-12, 1e-12, 1e-12};
    double point[3];
    a.dirichlet(tiny, 3, point);
    CHECK(std::abs(point[0] + point[1] + point[2] - 1.0) < 1e-15);
}

}  // namespace
