"""English numbers and signs as words.

The English grammar of `wetext` is not used: it reads "1,234" as "thousand two hundred ...", fails on
"#1" or two blanks in a row, and may change words far from any number.  These rules touch only what
they match, so a word without digits or signs comes out as it went in.
"""

from __future__ import annotations

import re

from cosy.text.rules import Log, Rule, apply_all, rule

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
_TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
_SCALES = (("trillion", 10**12), ("billion", 10**9), ("million", 10**6), ("thousand", 1000), ("hundred", 100))
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
MAX_CARDINAL_DIGITS = 15  # longer runs are codes, read digit by digit

_MONTHS = "January February March April May June July August September October November December".split()
_MONTH = "(?:" + "|".join(f"{m[:3]}(?:{m[3:]})?\\.?" if len(m) > 4 else m for m in _MONTHS) + ")"

_INTEGER = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)"
_NUMBER = rf"{_INTEGER}(?:\.[0-9]+)?"
_NOT_INSIDE = r"(?<![\w.,])"  # a number does not start inside a word or another number

_CURRENCIES = {  # sign: singular, plural, hundredth singular, hundredth plural
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "", ""),
    "₩": ("won", "won", "", ""),
    "₹": ("rupee", "rupees", "", ""),
}
_CODES = {"USD": "$", "GBP": "£", "EUR": "€", "JPY": "¥", "KRW": "₩", "INR": "₹"}
_MAGNITUDES = {"k": "thousand", "m": "million", "mn": "million", "bn": "billion", "b": "billion", "t": "trillion"}

_UNITS = {  # as written: singular, plural
    "km/h": ("kilometer per hour", "kilometers per hour"),
    "m/s": ("meter per second", "meters per second"),
    "mph": ("mile per hour", "miles per hour"),
    "km²": ("square kilometer", "square kilometers"),
    "m²": ("square meter", "square meters"),
    "m³": ("cubic meter", "cubic meters"),
    "km": ("kilometer", "kilometers"),
    "cm": ("centimeter", "centimeters"),
    "mm": ("millimeter", "millimeters"),
    "m": ("meter", "meters"),
    "ft": ("foot", "feet"),
    "kg": ("kilogram", "kilograms"),
    "mg": ("milligram", "milligrams"),
    "g": ("gram", "grams"),
    "lbs": ("pound", "pounds"),
    "lb": ("pound", "pounds"),
    "oz": ("ounce", "ounces"),
    "ml": ("milliliter", "milliliters"),
    "L": ("liter", "liters"),
    "TB": ("terabyte", "terabytes"),
    "GB": ("gigabyte", "gigabytes"),
    "MB": ("megabyte", "megabytes"),
    "KB": ("kilobyte", "kilobytes"),
    "kB": ("kilobyte", "kilobytes"),
    "Gbps": ("gigabit per second", "gigabits per second"),
    "Mbps": ("megabit per second", "megabits per second"),
    "kbps": ("kilobit per second", "kilobits per second"),
    "GHz": ("gigahertz", "gigahertz"),
    "MHz": ("megahertz", "megahertz"),
    "kHz": ("kilohertz", "kilohertz"),
    "Hz": ("hertz", "hertz"),
    "dB": ("decibel", "decibels"),
    "kW": ("kilowatt", "kilowatts"),
    "W": ("watt", "watts"),
    "V": ("volt", "volts"),
    "ms": ("millisecond", "milliseconds"),
    "s": ("second", "seconds"),
    "min": ("minute", "minutes"),
    "hrs": ("hour", "hours"),
    "h": ("hour", "hours"),
    "°C": ("degree Celsius", "degrees Celsius"),
    "℃": ("degree Celsius", "degrees Celsius"),
    "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "℉": ("degree Fahrenheit", "degrees Fahrenheit"),
    "°": ("degree", "degrees"),
}
_FRACTIONS = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅛": "1/8"}

_ADDRESS_SIGNS = {
    ".": "dot",
    "/": "slash",
    "-": "dash",
    "_": "underscore",
    "@": "at",
    "?": "question mark",
    "=": "equals",
    "&": "and",
    "#": "hash",
    ":": "colon",
    "%": "percent",
    "+": "plus",
    "~": "tilde",
}
_TOP_DOMAINS = "com|org|net|edu|gov|info|io|ai|dev|app|co|me|tv|cn|jp|kr|de|uk|fr|eu|us|ca|au"
EMAIL = r"(?<![A-Za-z0-9_.+-])[A-Za-z0-9_+][A-Za-z0-9_.+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}"
URL = (
    r"(?<![A-Za-z0-9_.@-])(?:(?:https?://|www\.)[A-Za-z0-9][!-;=?-~]{1,2000}(?<![.,;:!?)\]'\"])"
    rf"|(?:[A-Za-z0-9-]{{1,63}}\.){{1,8}}(?:{_TOP_DOMAINS})\b(?![.@][A-Za-z0-9])(?:/[!-;=?-~]{{0,2000}}(?<![.,;:!?)\]'\"]))?)"
)


def digits(text: str, zero: str = "zero") -> str:
    """Each digit on its own: "007" is "zero zero seven"."""
    return " ".join(zero if d == "0" else _SMALL[int(d)] for d in text if d in "0123456789")


def cardinal(text: str) -> str:
    """An integer, with or without thousands separators: "1,234" is "one thousand two hundred thirty-four".

    Leading zeros and more than 15 digits are read digit by digit.
    """
    plain = text.replace(",", "")
    if len(plain) > MAX_CARDINAL_DIGITS or (len(plain) > 1 and plain[0] == "0"):
        return digits(plain)
    return _words(int(plain))


def _words(number: int) -> str:
    for name, size in _SCALES:
        if number >= size:
            head, rest = divmod(number, size)
            return f"{_words(head)} {name}" + (f" {_words(rest)}" if rest else "")
    if number < 20:
        return _SMALL[number]
    tens, ones = divmod(number, 10)
    return _TENS[tens] + (f"-{_SMALL[ones]}" if ones else "")


def ordinal(text: str) -> str:
    """The ordinal of an integer: "21" is "twenty-first"."""
    head, last = re.fullmatch(r"(.*?)([a-z]+)", cardinal(text)).groups()  # type: ignore[union-attr]
    if last in _ORDINALS:
        return head + _ORDINALS[last]
    return head + (last[:-1] + "ieth" if last.endswith("y") else last + "th")


def number(text: str) -> str:
    """An integer or decimal: "3.14" is "three point one four"."""
    whole, point, fraction = text.partition(".")
    return cardinal(whole or "0") + (f" point {digits(fraction)}" if point else "")


def year(text: str) -> str:
    """Four digits as a year: 1984, 1905, 2000, 2008, 2024."""
    century, rest = int(text[:2]), int(text[2:])
    if century % 10 == 0 and rest < 10:
        return _words(int(text))
    if rest == 0:
        return f"{_words(century)} hundred"
    return f"{_words(century)} {'oh ' if rest < 10 else ''}{_words(rest)}"


def address(text: str) -> str:
    """A web or e-mail address as it is said, without the scheme."""
    text = re.sub(r"^https?://", "", text)
    return " ".join(re.sub(r"[./\-_@?=&#:%+~]", lambda m: f" {_ADDRESS_SIGNS[m.group()]} ", text).split())


def _plural(text: str, forms: tuple[str, str]) -> str:
    return forms[0] if text == "1" else forms[1]


def _money(sign: str, amount: str, magnitude: str | None) -> str:
    one, many, hundredth, hundredths = _CURRENCIES[sign]
    if magnitude:
        return f"{number(amount)} {_MAGNITUDES.get(magnitude.lower(), magnitude.lower())} {many}"
    whole, _, fraction = amount.partition(".")
    if len(fraction) != 2 or not hundredth:
        return f"{number(amount)} {_plural(amount, (one, many))}"
    cents = f"{_words(int(fraction))} {hundredth if fraction == '01' else hundredths}"
    if whole == "0" and fraction != "00":
        return cents
    return f"{cardinal(whole)} {_plural(whole, (one, many))}" + (f" and {cents}" if fraction != "00" else "")


def _clock(m: re.Match[str]) -> str:
    hour, minute, second, half = m["hour"], m["minute"], m["second"], m["half"]
    words = _words(int(hour))
    if minute != "00":
        words += f" {'oh ' if minute[0] == '0' else ''}{_words(int(minute))}"
    elif not half:
        words += " o'clock" if 1 <= int(hour) <= 12 else " hundred"
    if second:
        words += f" and {_words(int(second))} {_plural(second.lstrip('0'), _UNITS['s'])}"
    return words + (f" {half[0].upper()}M" if half else "")


def _date(year_digits: str, month: str, day: str, otherwise: str) -> str:
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return otherwise
    return f"{_MONTHS[int(month) - 1]} {ordinal(day.lstrip('0'))}, {year(year_digits)}"


def _slashed_date(m: re.Match[str]) -> str:
    """Month first, as in the United States, unless that is impossible."""
    month, day = (m[1], m[2]) if int(m[1]) <= 12 else (m[2], m[1])
    return _date(m[3], month, day, m.group())


def _month_name(text: str) -> str:
    return next(month for month in _MONTHS if month.startswith(text[:3]))


def _fraction(top: str, bottom: str) -> str:
    if (top, bottom) in (("24", "7"), ("9", "11")):
        return f"{cardinal(top)} {cardinal(bottom)}"
    if not 2 <= int(bottom) <= 20 or int(top) >= int(bottom):
        return f"{cardinal(top)} over {cardinal(bottom)}"
    if bottom == "2":
        return "one half"
    name = "quarter" if bottom == "4" else ordinal(bottom)
    return f"{cardinal(top)} {name if top == '1' else name + 's'}"


def _mixed_fraction(whole: str, top: str, bottom: str) -> str:
    fraction = _fraction(top, bottom)
    return f"{cardinal(whole)} and {'a half' if fraction == 'one half' else fraction}"


def _decade(m: re.Match[str]) -> str:
    words = year(m[1] + "0") if len(m[1]) == 3 else _words(int(m[1] + "0"))
    return words[:-1] + "ies" if words.endswith("y") else words + "s"


def _phone(m: re.Match[str]) -> str:
    return ", ".join(digits(group) for group in re.findall(r"[0-9]+", m.group()))


def _range(m: re.Match[str]) -> str:
    if _is_year(m[1]) and _is_year(m[2]):
        return f"{year(m[1])} to {year(m[2])}"
    return f"{number(m[1])} to {number(m[2])}"


def _is_year(text: str) -> bool:
    return len(text) == 4 and text.isdecimal() and 1500 <= int(text) <= 2099


def _bare_year(m: re.Match[str]) -> str:
    """A four-digit number is a year unless a plural follows ("2010 apples")."""
    follower = m["next"] or ""
    counted = follower.endswith("s") and follower not in ("is", "was", "has", "as", "its", "this", "does")
    counted = counted or follower in ("people", "men", "women", "children")
    return m.group() if counted else year(m[1]) + m.group()[len(m[1]) :]


def _digit_run(m: re.Match[str]) -> str:
    run = m.group()
    is_code = len(run) >= 10 and not run.endswith("000000")
    return digits(run) if is_code else cardinal(run)


TITLES = (
    rule("title", r"(?<![A-Za-z])Dr\.(?=\s+[A-Z])", "Doctor"),
    rule("title", r"(?<![A-Za-z])Mr\.(?=\s+[A-Z])", "Mister"),
    rule("title", r"(?<![A-Za-z])Mrs\.(?=\s+[A-Z])", "Missus"),
    rule("title", r"(?<![A-Za-z])Ms\.(?=\s+[A-Z])", "Ms"),
    rule("title", r"(?<![A-Za-z])Prof\.(?=\s+[A-Z])", "Professor"),
    rule("title", r"(?<=[a-z] )St\.(?=\s*(?:$|[,;]|[a-z]))", "Street"),
    rule("title", r"(?<![A-Za-z])St\.(?=\s+[A-Z])", "Saint"),
    rule("title", r"(?<![A-Za-z])([JS])r\.(?=\s|$|[,;])", lambda m: {"J": "Junior", "S": "Senior"}[m[1]]),
)

_WORDING = (
    rule("apostrophe", "(?<=\\w)[’ʼ](?=\\w)", "'"),
    rule("abbreviation", r"\be\.g\.,?", "for example,", re.IGNORECASE),
    rule("abbreviation", r"\bi\.e\.,?", "that is,", re.IGNORECASE),
    rule("abbreviation", r"\bvs\.", "versus", re.IGNORECASE),
    rule("abbreviation", r"\betc\.(?=\s*$|\s+[A-Z])", "et cetera."),
    rule("abbreviation", r"\betc\b\.?", "et cetera"),
    rule("abbreviation", r"\bapprox\.", "approximately", re.IGNORECASE),
    rule("abbreviation", r"\b(?:No|no|Nos)\.\s?(?=[0-9])", "number "),
    rule("initials", r"(?<![A-Z]\.)\b(?:[A-Z]\.){2,12}(?=\s*$)", lambda m: " ".join(m.group().replace(".", "")) + "."),
    rule("initials", r"\b[A-Z]\.(?:\s?[A-Z]\.)+", lambda m: " ".join(re.findall("[A-Z]", m.group()))),
    rule("ampersand", r"(?<=\s)&(?=\s)", "and"),
)

_ADDRESSES = (
    rule("e-mail", EMAIL, lambda m: address(m.group())),
    rule("url", URL, lambda m: address(m.group())),
)

_UNIT_NAMES = "|".join(re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True))

_NUMBERS: tuple[Rule, ...] = (
    rule("fraction sign", "(?<=[0-9])(?=[½⅓⅔¼¾⅕⅛])", " "),
    rule("fraction sign", "[½⅓⅔¼¾⅕⅛]", lambda m: _FRACTIONS[m.group()]),
    rule("height", r"(?<![\w.])([0-9])['′]\s?([0-9]{1,2})(?:\"|″)?(?!\w)", r"\1 foot \2"),
    rule("phone", r"(?<![\w.])\+[0-9](?:[ ().-]{0,2}[0-9]){6,16}(?!\w)", _phone),
    rule("phone", r"(?<![\w.])(?:1[ .-])?(?:\([0-9]{3}\) ?|[0-9]{3}[ .-])[0-9]{3}[ .-][0-9]{4}(?![\w-])", _phone),
    rule("phone", r"(?<![\w.-])[0-9]{3}-[0-9]{4}(?![\w-])", _phone),
    rule("date", r"(?<![\w./-])([0-9]{4})([-/])([0-9]{1,2})\2([0-9]{1,2})(?![\w/-])",
         lambda m: _date(m[1], m[3], m[4], m.group())),
    rule("date", r"(?<![\w./-])([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})(?![\w/-])", _slashed_date),
    rule("date", rf"\b({_MONTH})\s([0-9]{{1,2}})(?:st|nd|rd|th)?(?![\w:.][0-9]|\w)",
         lambda m: f"{_month_name(m[1])} {ordinal(m[2])}"),
    rule("date", rf"\b([0-9]{{1,2}})(?:st|nd|rd|th)?\s({_MONTH})(?!\w)",
         lambda m: f"{ordinal(m[1])} of {_month_name(m[2])}"),
    rule("time", r"(?<![\w:.])(?P<hour>[01]?[0-9]|2[0-4]):(?P<minute>[0-5][0-9])(?::(?P<second>[0-5][0-9]))?(?![:\d])"
         r"(?:\s?(?P<half>[ap])\.?m\b(?:\.(?!\s*$|\s+(?-i:[A-Z])))?)?", _clock, re.IGNORECASE),
    rule("time", r"(?<![\w:.])([0-9]{1,2})\s?([ap])\.?m\b(?:\.(?!\s*$|\s+(?-i:[A-Z])))?",
         lambda m: f"{cardinal(m[1])} {m[2].upper()}M", re.IGNORECASE),
    rule("ip address", r"(?<![\w.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![\w.][0-9]|\w)",
         lambda m: " dot ".join(digits(part) for part in m.group().split("."))),
    rule("version", r"(?<![\w.])(v)?([0-9]{1,9}(?:\.[0-9]{1,9}){2,8})(?![\w])",
         lambda m: ("version " if m[1] else "") + " point ".join(cardinal(part) for part in m[2].split("."))),
    rule("currency", rf"(?:US|A|C|HK)?([$£€¥₩₹])\s?({_NUMBER})"
         r"(?:\s?(thousand|million|billion|trillion|[kKMBT]|[mb]n)\b)?",
         lambda m: _money(m[1], m[2], m[3])),
    rule("currency", rf"{_NOT_INSIDE}({_NUMBER})\s?([€£])", lambda m: _money(m[2], m[1], None)),
    rule("currency", rf"{_NOT_INSIDE}({_NUMBER})\s?(USD|GBP|EUR|JPY|KRW|INR)\b",
         lambda m: _money(_CODES[m[2]], m[1], None)),
    rule("decade", r"(?<![\w.,])'?([0-9]{1,3})0'?s\b", _decade),
    rule("ordinal", rf"{_NOT_INSIDE}({_INTEGER})(?:st|nd|rd|th)\b", lambda m: ordinal(m[1]), re.IGNORECASE),
    rule("fraction", r"(?<![\w./,])([0-9]{1,4}) ([0-9])/([0-9]{1,2})(?![\w/])",
         lambda m: _mixed_fraction(m[1], m[2], m[3])),
    rule("fraction", r"(?<![\w./,])([0-9]{1,3})/([0-9]{1,3})(?![\w/])", lambda m: _fraction(m[1], m[2])),
    rule("range", rf"{_NOT_INSIDE}(?<!-)({_NUMBER})(?:\s?[–—~]\s?|-)({_NUMBER})(?![\w-])", _range),
    rule("minus", r"(?<![\w)-])[-−](?=[0-9])", "minus "),
    rule("percent", rf"{_NOT_INSIDE}({_NUMBER})\s?%", lambda m: f"{number(m[1])} percent"),
    rule("unit", rf"{_NOT_INSIDE}({_NUMBER})\s?({_UNIT_NAMES})(?![\w/²³])",
         lambda m: f"{number(m[1])} {_plural(m[1], _UNITS[m[2]])}"),
    rule("number sign", r"#(?=[0-9])", "number "),
    rule("about", r"(?<!\w)~(?=[0-9])", "about "),
    rule("arithmetic", r"(?<=[0-9²³])\s?([+×=÷])\s?(?=[0-9])",
         lambda m: {"+": " plus ", "×": " times ", "=": " equals ", "÷": " divided by "}[m[1]]),
    rule("arithmetic", r"(?<=\w)\s=\s(?=\w)", " equals "),
    rule("power", "(?<=[0-9])[²³]", lambda m: {"²": " squared", "³": " cubed"}[m.group()]),
    rule("ratio", r"(?<![\w:])([0-9]{1,4}):([0-9]{1,4})(?![\w:])", lambda m: f"{cardinal(m[1])} to {cardinal(m[2])}"),
    rule("year", r"(?<![\w.,$-])(1[5-9][0-9]{2}|20[0-9]{2})(?![\w-]|[.,][0-9])(?=(?:\s(?P<next>[a-z]{1,20}))?)",
         _bare_year),
    rule("year", r"(?<=\b[Ii]n )(1[0-4][0-9]{2})(?![\w-]|[.,][0-9])", lambda m: year(m[1])),
    rule("hyphen", r"(?<=[A-Za-z0-9])-(?=[0-9])|(?<=[0-9])-(?=[A-Za-z])", " "),
    rule("letters and digits", r"(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])", " "),
    rule("decimal", rf"(?<![\w.,])({_INTEGER}?\.[0-9]+)(?![\w]|\.[0-9])", lambda m: number(m[1])),
    rule("thousands", r"(?<![\w.,])[0-9]{1,3}(?:,[0-9]{3})+(?![\w]|,[0-9])", lambda m: cardinal(m.group())),
    rule("comma", "(?<=[0-9]),(?=[0-9])", ", "),
    rule("cardinal", r"[0-9]+", _digit_run),
)  # fmt: skip

_SPACES = rule("spaces", r"(?<=\S)[ \t]{2,}(?=\S)", " ")


def english(text: str, log: Log | None = None) -> str:
    """Spoken form of English text: abbreviations, addresses, money, dates, times, units and numbers."""
    text = apply_all(_ADDRESSES, text, log)
    text = apply_all((*TITLES, *_WORDING), text, log)
    if re.search("[0-9½⅓⅔¼¾⅕⅛]", text):
        text = apply_all(_NUMBERS, text, log)
    return _SPACES.apply(text, log)
