// How parameters are held, and what an update makes of statistics.
#pragma once

namespace vemfast::models {

enum class Kind : int { point, posterior };
enum class ParameterRule : int { point, posterior, sampled };

}  // namespace vemfast::models
