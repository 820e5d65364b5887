"""Text to words, so that two spellings of one utterance compare equal."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["normalise", "spell"]

_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty",
         "ninety")  # fmt: skip
_SCALES = ((10**9, "billion"), (10**6, "million"), (10**3, "thousand"), (100, "hundred"))
_LARGEST = 10**12

_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth",
    "nine": "ninth", "twelve": "twelfth",
}  # fmt: skip

_NUMBER = re.compile(r"(?<![\w.])(\d{1,3}(?:,\d{3})+|\d+)(?:\.(\d+))?(st|nd|rd|th)?(?!\w)")
_SYMBOLS = {"%": " percent ", "&": " and ", "+": " plus ", "=": " equals ", "@": " at "}
_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'"})


def normalise(text: str) -> list[str]:
    """Words of `text`: lower case, numbers spelt out, punctuation gone, apostrophes kept.

    Accents stay, since they tell words apart in other languages than English; only compatibility
    forms (full-width letters, ligatures) are made plain.
    """
    text = unicodedata.normalize("NFKC", text).translate(_APOSTROPHES).lower()
    text = _NUMBER.sub(_spelt, text)
    for symbol, word in _SYMBOLS.items():
        text = text.replace(symbol, word)
    # An apostrophe inside a word is a letter; around one it is a quotation mark.
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", text)


def spell(number: int) -> str:
    """A natural number below 10¹² in English words, as a recogniser writes them."""
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return f"{_TENS[tens]} {_ONES[ones]}" if ones else _TENS[tens]
    for scale, name in _SCALES:
        if number >= scale:
            many, rest = divmod(number, scale)
            return f"{spell(many)} {name} {spell(rest)}" if rest else f"{spell(many)} {name}"
    raise AssertionError("unreachable")


def _spelt(found: re.Match[str]) -> str:
    whole, fraction, ordinal = found.groups()
    number = int(whole.replace(",", ""))
    if number >= _LARGEST:
        return " ".join(_ONES[int(digit)] for digit in whole if digit.isdigit())
    words = spell(number)
    if ordinal and not fraction:
        *front, last = words.split()
        plain = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
        return " ".join([*front, _ORDINALS.get(last, plain)])
    if fraction:
        words += " point " + " ".join(_ONES[int(digit)] for digit in fraction)
    return words
