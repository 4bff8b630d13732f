// How the readers of model files complain.
#pragma once

#include <locale>
#include <sstream>

#include "vemfast/model_file.hpp"

namespace vemfast::io {

// Throws ModelFileError with the parts written one after the other.
template <class... Parts>
[[noreturn]] void refuse(const Parts&... parts) {
    std::ostringstream message;
    message.imbue(std::locale::classic());  // a decimal point, whatever the process's locale
    (message << ... << parts);
    throw ModelFileError(message.str());
}

}  // namespace vemfast::io
