#include "io/json.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <utility>

namespace vemfast::io {

namespace {

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

// Appends a code point; surrogates, too, in the three bytes that they would have.
void append_utf8(std::string& out, std::uint32_t code) {
    const auto byte = [&](std::uint32_t bits) { out += static_cast<char>(bits); };
    if (code < 0x80) {
        byte(code);
    } else if (code < 0x800) {
        byte(0xC0 | code >> 6);
        byte(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        byte(0xE0 | code >> 12);
        byte(0x80 | (code >> 6 & 0x3F));
        byte(0x80 | (code & 0x3F));
    } else {
        byte(0xF0 | code >> 18);
        byte(0x80 | (code >> 12 & 0x3F));
        byte(0x80 | (code >> 6 & 0x3F));
        byte(0x80 | (code & 0x3F));
    }
}

// The code point that begins at `at`, and its bytes; none where the bytes are not UTF-8. Surrogates
// pass only where `loose`.
struct Character {
    std::uint32_t code = 0;
    std::size_t size = 0;
};

Character character_at(std::string_view text, std::size_t at, bool loose) {
    const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
    const std::uint32_t first = byte(at);
    if (first < 0x80)
        return {first, 1};
    const std::size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || at + size > text.size())
        return {};
    std::uint32_t code = first & (0x7FU >> size);
    for (std::size_t i = 1; i < size; ++i) {
        if ((byte(at + i) & 0xC0U) != 0x80U)
            return {};
        code = code << 6 | (byte(at + i) & 0x3FU);
    }
    constexpr std::array<std::uint32_t, 5> kLeast{0, 0, 0x80, 0x800, 0x10000};
    const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
    if (code < kLeast[size] || code > 0x10FFFF || (surrogate && !loose))
        return {};
    return {code, size};
}

class Parser {
  public:
    explicit Parser(std::string_view text) : text_(text) {}

    Json whole() {
        Json value = any(0);
        skip_spaces();
        if (at_ != text_.size())
            fail("text behind the end");
        return value;
    }

  private:
    [[noreturn]] void fail(const char* what) const {
        throw JsonError(std::string(what) + " at byte " + std::to_string(at_));
    }

    bool ended() const { return at_ == text_.size(); }
    char peek() const { return ended() ? '\0' : text_[at_]; }

    void skip_spaces() {
        while (!ended() && (peek() == ' ' || peek() == '\n' || peek() == '\r' || peek() == '\t'))
            ++at_;
    }

    bool take(char wanted) {
        if (ended() || peek() != wanted)
            return false;
        ++at_;
        return true;
    }

    bool take_word(std::string_view word) {
        if (text_.substr(at_, word.size()) != word)
            return false;
        at_ += word.size();
        return true;
    }

    Json any(int depth) {
        if (depth > kDeepestJson)
            fail("nested too deeply");
        skip_spaces();
        if (ended())
            fail("the end");
        switch (peek()) {
            case '{':
                return object(depth);
            case '[':
                return array(depth);
            case '"':
                return Json(Json::Type::string, string());
            default:
                break;
        }
        if (take_word("null"))
            return {};
        if (take_word("true"))
            return Json::of(true);
        if (take_word("false"))
            return Json::of(false);
        return number();
    }

    Json array(int depth) {
        Json out(Json::Type::array);
        ++at_;
        skip_spaces();
        if (take(']'))
            return out;
        do {
            out.items.push_back(any(depth + 1));
            skip_spaces();
        } while (take(','));
        if (!take(']'))
            fail("expected , or ]");
        return out;
    }

    Json object(int depth) {
        Json out = Json::object();
        ++at_;
        skip_spaces();
        if (take('}'))
            return out;
        do {
            skip_spaces();
            if (peek() != '"')
                fail("expected a key");
            std::string key = string();
            skip_spaces();
            if (!take(':'))
                fail("expected :");
            out.members.emplace_back(std::move(key), any(depth + 1));
            skip_spaces();
        } while (take(','));
        if (!take('}'))
            fail("expected , or }");
        refuse_twins(out);
        return out;
    }

    void refuse_twins(const Json& object) const {
        std::vector<std::string_view> keys;
        keys.reserve(object.members.size());
        for (const auto& [key, value] : object.members)
            keys.emplace_back(key);
        std::sort(keys.begin(), keys.end());
        if (std::adjacent_find(keys.begin(), keys.end()) != keys.end())
            fail("a key stands twice in the object that ends");
    }

    Json number() {
        const std::size_t first = at_;
        take('-');
        if (!is_digit(peek()))
            fail("no JSON value");
        if (!take('0'))
            skip_digits();
        if (take('.')) {
            if (!is_digit(peek()))
                fail("expected a digit");
            skip_digits();
        }
        if (take('e') || take('E')) {
            if (!take('+'))
                take('-');
            if (!is_digit(peek()))
                fail("expected a digit");
            skip_digits();
        }
        return Json(Json::Type::number, std::string(text_.substr(first, at_ - first)));
    }

    void skip_digits() {
        while (is_digit(peek()))
            ++at_;
    }

    std::string string() {
        std::string out;
        ++at_;
        while (true) {
            if (ended())
                fail("a string without an end");
            if (take('"'))
                return out;
            if (take('\\')) {
                escape(out);
                continue;
            }
            const Character found = character_at(text_, at_, false);
            if (found.size == 0)
                fail("not UTF-8");
            if (found.code < 0x20)
                fail("a control character");
            out.append(text_.substr(at_, found.size));
            at_ += found.size;
        }
    }

    void escape(std::string& out) {
        constexpr std::string_view kNames = "\"\\/bfnrt";
        constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
        if (take('u')) {
            std::uint32_t code = hex();
            if (code >= 0xD800 && code < 0xDC00 && text_.substr(at_, 2) == "\\u") {
                const std::size_t before = at_;
                at_ += 2;
                const std::uint32_t low = hex();
                if (low >= 0xDC00 && low <= 0xDFFF)
                    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
                else
                    at_ = before;
            }
            append_utf8(out, code);
            return;
        }
        const std::size_t which = ended() ? std::string_view::npos : kNames.find(peek());
        if (which == std::string_view::npos)
            fail("an unknown escape");
        out += kMeanings[which];
        ++at_;
    }

    std::uint32_t hex() {
        std::uint32_t code = 0;
        const std::string_view digits = text_.substr(at_, 4);
        const auto [end, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
        if (digits.size() != 4 || error != std::errc{} || end != digits.data() + 4)
            fail("expected four hexadecimal digits");
        at_ += 4;
        return code;
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

void append_escaped(std::string& out, std::uint32_t code) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    out += "\\u";
    for (const int shift : {12, 8, 4, 0})
        out += kDigits[code >> shift & 0xF];
}

void append(std::string& out, const Json& value, bool ascii) {
    bool first = true;
    const auto separate = [&] {
        if (!std::exchange(first, false))
            out += ',';
    };
    switch (value.type) {
        case Json::Type::null:
            out += "null";
            break;
        case Json::Type::boolean:
            out += value.boolean ? "true" : "false";
            break;
        case Json::Type::number:
            out += value.text;
            break;
        case Json::Type::string:
            append_quoted(out, value.text, ascii);
            break;
        case Json::Type::array:
            out += '[';
            for (const Json& item : value.items) {
                separate();
                append(out, item, ascii);
            }
            out += ']';
            break;
        case Json::Type::object:
            out += '{';
            for (const auto& [key, member] : value.members) {
                separate();
                append_quoted(out, key, ascii);
                out += ':';
                append(out, member, ascii);
            }
            out += '}';
            break;
    }
}

}  // namespace

bool Json::is_integer() const {
    return type == Type::number && text.find_first_of(".eE") == std::string::npos;
}

const Json* Json::find(std::string_view name) const {
    const auto found = std::find_if(members.begin(), members.end(),
                                    [&](const auto& member) { return member.first == name; });
    return found == members.end() ? nullptr : &found->second;
}

void Json::set(std::string_view name, Json value) {
    const auto found = std::find_if(members.begin(), members.end(),
                                    [&](const auto& member) { return member.first == name; });
    if (found == members.end())
        members.emplace_back(std::string(name), std::move(value));
    else
        found->second = std::move(value);
}

Json Json::of(bool value) {
    Json out(Type::boolean);
    out.boolean = value;
    return out;
}

Json Json::of(std::string_view value) {
    return Json(Type::string, std::string(value));
}

Json Json::of_integer(long long value) {
    return Json(Type::number, std::to_string(value));
}

// The shortest digits that give the number back: as decimals where its exponent is from -4 to 15,
// and then with a point; else with an exponent of two digits or more.
Json Json::of_double(double value) {
    std::array<char, 32> digits{};
    char* const first = digits.data();
    char* const last = first + digits.size();
    const auto scientific = std::to_chars(first, last, value, std::chars_format::scientific);
    std::string text(first, scientific.ptr);
    const int exponent = std::stoi(text.substr(text.find('e') + 1));
    if (exponent >= -4 && exponent < 16) {
        std::array<char, 64> plain{};
        const auto fixed = std::to_chars(plain.data(), plain.data() + plain.size(), value,
                                         std::chars_format::fixed);
        text.assign(plain.data(), fixed.ptr);
        if (text.find('.') == std::string::npos)
            text += ".0";
    }
    return Json(Type::number, std::move(text));
}

Json parse_json(std::string_view text) {
    return Parser(text).whole();
}

void append_quoted(std::string& out, std::string_view text, bool ascii) {
    constexpr std::string_view kMeanings = "\"\\\b\f\n\r\t";
    constexpr std::string_view kNames = "\"\\bfnrt";
    out += '"';
    for (std::size_t at = 0; at < text.size();) {
        const Character found = character_at(text, at, true);
        const auto named = kMeanings.find(text[at]);
        if (found.size == 0) {  // not UTF-8: never in what was parsed
            append_escaped(out, 0xFFFD);
            ++at;
            continue;
        }
        if (named != std::string_view::npos) {
            out += '\\';
            out += kNames[named];
        } else if (found.code < 0x20 || (ascii && found.code >= 0x80 && found.code < 0x10000)) {
            append_escaped(out, found.code);
        } else if (ascii && found.code >= 0x10000) {
            append_escaped(out, 0xD800 + ((found.code - 0x10000) >> 10));
            append_escaped(out, 0xDC00 + ((found.code - 0x10000) & 0x3FF));
        } else {
            out.append(text.substr(at, found.size));
        }
        at += found.size;
    }
    out += '"';
}

std::string to_text(const Json& value, bool ascii) {
    std::string out;
    append(out, value, ascii);
    return out;
}

}  // namespace vemfast::io
