#include "isa/dispatch.hpp"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

#include "vemfast/require.hpp"

namespace vemfast {

#if defined(__x86_64__)
namespace v2 {
extern const KernelTable kernel_table;
}
namespace v3 {
extern const KernelTable kernel_table;
}
namespace v4 {
extern const KernelTable kernel_table;
}
#else
namespace base {
extern const KernelTable kernel_table;
}
#endif

namespace {

struct Level {
    const KernelTable* table;
    bool supported;
    bool automatic;  // chosen without being asked for
};

// Lowest first. Single features are tested, not "x86-64-v3": older compilers reject that name.
#if defined(__x86_64__)
std::vector<Level> compiled_levels() {
    __builtin_cpu_init();
    const bool has_v2 = __builtin_cpu_supports("ssse3") != 0 &&
                        __builtin_cpu_supports("sse4.2") != 0 &&
                        __builtin_cpu_supports("popcnt") != 0;
    const bool has_v3 = has_v2 && __builtin_cpu_supports("avx2") != 0 &&
                        __builtin_cpu_supports("fma") != 0 && __builtin_cpu_supports("bmi2") != 0;
    const bool has_v4 =
        has_v3 && __builtin_cpu_supports("avx512f") != 0 &&
        __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512cd") != 0 &&
        __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0;
    return {{&v2::kernel_table, has_v2, true},
            {&v3::kernel_table, has_v3, true},
            {&v4::kernel_table, has_v4, false}};
}
#else
std::vector<Level> compiled_levels() {
    return {{&base::kernel_table, true, true}};
}
#endif

std::string join(const std::vector<std::string>& names) {
    std::string text;
    for (const auto& name : names) {
        text += (text.empty() ? "" : ", ") + name;
    }
    return text;
}

const KernelTable& level_named(const std::string& name) {
    std::vector<std::string> known;
    for (const Level& level : compiled_levels()) {
        known.emplace_back(level.table->level);
        if (name == level.table->level) {
            require(level.supported, "VEMFAST_ISA=", name, ": this processor does not have level ",
                    name, "; it has: ", join(available_levels()));
            return *level.table;
        }
    }
    throw std::invalid_argument("VEMFAST_ISA=" + name +
                                ": unknown instruction-set level; use one of: " + join(known));
}

const KernelTable& choose() {
    const char* asked = std::getenv("VEMFAST_ISA");
    if (asked != nullptr && *asked != '\0') {
        return level_named(asked);
    }
    const std::vector<Level> levels = compiled_levels();
    const auto best = std::find_if(levels.rbegin(), levels.rend(), [](const Level& level) {
        return level.supported && level.automatic;
    });
    if (best == levels.rend()) {
        throw std::runtime_error(
            "vemfast needs an x86-64 processor with SSSE3, SSE4.2 and POPCNT (x86-64-v2)");
    }
    return *best->table;
}

}  // namespace

const KernelTable& kernels() {
    static const KernelTable& chosen = choose();
    return chosen;
}

std::vector<std::string> available_levels() {
    std::vector<std::string> names;
    for (const Level& level : compiled_levels()) {
        if (level.supported) {
            names.emplace_back(level.table->level);
        }
    }
    return names;
}

}  // namespace vemfast
