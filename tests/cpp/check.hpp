// The little that a C++ test needs: named cases, and checks that say what failed and where.
#pragma once

#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace check {

struct Failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

using Case = std::pair<const char*, void (*)()>;

inline std::vector<Case>& cases() {
    static std::vector<Case> all;
    return all;
}

inline bool add_case(const char* name, void (*body)()) {
    cases().emplace_back(name, body);
    return true;
}

inline void that(bool ok, const char* expression, const char* file, int line) {
    if (!ok) {
        throw Failure(std::string(file) + ":" + std::to_string(line) + ": " + expression);
    }
}

inline int run() {
    int failures = 0;
    for (const auto& [name, body] : cases()) {
        try {
            body();
            std::printf("ok      %s\n", name);
        } catch (const std::exception& error) {
            std::printf("FAILED  %s\n        %s\n", name, error.what());
            ++failures;
        }
    }
    std::printf("%zu cases, %d failed\n", cases().size(), failures);
    return failures == 0 && !cases().empty() ? 0 : 1;
}

}  // namespace check

#define CHECK(expression) check::that((expression), #expression, __FILE__, __LINE__)

#define CHECK_THROWS(expression, Exception)                                         \
    do {                                                                            \
        bool thrown = false;                                                        \
        try {                                                                       \
            expression;                                                             \
        } catch (const Exception&) {                                                \
            thrown = true;                                                          \
        }                                                                           \
        check::that(thrown, #expression " throws " #Exception, __FILE__, __LINE__); \
    } while (false)

#define TEST_CASE(name)                                                              \
    static void name();                                                              \
    [[maybe_unused]] static const bool added_##name = check::add_case(#name, &name); \
    static void name()
