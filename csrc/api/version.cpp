#include "vemfast/version.hpp"

#include <stdexcept>
#include <string>
#include <string_view>

namespace vemfast {

const char* version() {
    return VEMFAST_VERSION;
}

void check_version(const char* headers) {
    // Major and minor: all before the second point.
    const auto series = [](std::string_view text) {
        return text.substr(0, text.find('.', text.find('.') + 1));
    };
    if (headers == nullptr || series(headers) != series(VEMFAST_VERSION))
        throw std::runtime_error(
            std::string("the program was compiled with the headers of vemfast ")
                .append(headers == nullptr ? "?" : headers)
                .append(", but runs with the library of " VEMFAST_VERSION)
                .append("; compile it again, or install the other"));
}

}  // namespace vemfast
