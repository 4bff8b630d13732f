// Checks of arguments: a message says what is wrong, where, and the fix.
#pragma once

#include <locale>
#include <sstream>
#include <stdexcept>

namespace vemfast {

// Throws std::invalid_argument with the parts written one after the other, unless `ok`.
template <class... Parts>
void require(bool ok, const Parts&... parts) {
    if (ok) [[likely]] {
        return;
    }
    std::ostringstream message;
    message.imbue(std::locale::classic());  // a decimal point, whatever the process's locale
    (message << ... << parts);
    throw std::invalid_argument(message.str());
}

}  // namespace vemfast
