// JSON, strictly: what model files hold, read without any allowance and written as Python's json
// module writes it, so that a document that is read and written keeps its bytes.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vemfast::io {

// Says what is wrong and at which byte.
class JsonError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

struct Json {
    enum class Type { null, boolean, number, string, array, object };

    Json() = default;
    explicit Json(Type of_type, std::string with_text = {})
        : type(of_type), text(std::move(with_text)) {}

    Type type = Type::null;
    bool boolean = false;
    // Of a string its UTF-8 (an unpaired surrogate as three bytes), of a number its digits as they
    // stand: no number changes by being read.
    std::string text;
    std::vector<Json> items;
    std::vector<std::pair<std::string, Json>> members;  // in the order of the text

    bool is(Type wanted) const { return type == wanted; }
    bool is_integer() const;  // a number without fraction and exponent, as Python's int
    const Json* find(std::string_view name) const;
    void set(std::string_view name, Json value);  // in its old place, or as the last

    static Json of(bool value);
    static Json of(std::string_view value);
    static Json of(const char* value) { return of(std::string_view(value)); }
    static Json of_integer(long long value);
    static Json of_double(double value);  // finite; as Python's repr
    static Json object() { return Json(Type::object); }
};

// Arrays and objects may be nested so deeply and no deeper.
inline constexpr int kDeepestJson = 64;

// Throws JsonError for anything but one JSON text: also for a key that stands twice in an object,
// for bytes that are not UTF-8, and for NaN and the infinities, which are not JSON.
Json parse_json(std::string_view text);

// Without spaces. `ascii`: all other characters are escaped, as Python does; else as they are.
std::string to_text(const Json& value, bool ascii);

// The string with its quotes.
void append_quoted(std::string& out, std::string_view text, bool ascii);

}  // namespace vemfast::io
