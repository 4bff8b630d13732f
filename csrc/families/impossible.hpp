// Scores that stand for minus infinity.
#pragma once

namespace vemfast::VEMFAST_LEVEL {
namespace {

// The score of a row that contradicts a component: finite, so that shares of such rows are not NaN.
template <class T>
constexpr T kImpossible = sizeof(T) == 8 ? T(-1e300) : T(-1e37);

// What is below this, weights included, has such a score in it.
template <class T>
constexpr T kUnreachable = sizeof(T) == 8 ? T(-1e250) : T(-1e30);

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
