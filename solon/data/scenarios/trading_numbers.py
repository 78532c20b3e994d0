"""Numbers of trading texts: exact fractions in, text out. Every equation and comparison in a row is written by these functions.

`A x B = C` is exact; `≈` says that C was rounded to its last place. A percent sign is a factor of 1/100 everywhere, so that
35% x 50% = 17.5%.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from solon.errors import DataError

PLACES = 2  # of rounded numbers
EXACT_PLACES = 4  # up to here a number is written out
HUNDRED = Fraction(100)


def number(value: Fraction | Decimal | int, places: int = PLACES) -> str:
    """Decimal text without trailing zeros: exact within four places, else rounded half-even to `places`."""
    numerator, denominator = value.as_integer_ratio()
    scaled, rest = divmod(numerator * 10**EXACT_PLACES, denominator)
    if not rest:
        return written(scaled, EXACT_PLACES).rstrip("0").rstrip(".")
    scaled, rest = divmod(numerator * 10**places, denominator)
    if 2 * rest > denominator or (2 * rest == denominator and scaled % 2):
        scaled += 1
    return written(scaled, places)


def written(scaled: int, places: int) -> str:
    """`scaled` / 10^places, written with exactly that many places (at least one)."""
    digits = f"{abs(scaled):0{places + 1}d}"
    return f"{'-' if scaled < 0 else ''}{digits[:-places]}.{digits[-places:]}"


def is_exact(value: Fraction | int) -> bool:
    """Whether `number` writes the value exactly."""
    numerator, denominator = value.as_integer_ratio()
    return numerator * 10**EXACT_PLACES % denominator == 0


def percent(value: Fraction | Decimal | int) -> str:
    """A number of percent with its sign: 17.5%."""
    return f"{number(value)}%"


def with_article(text: str) -> str:
    """A number in figures behind the article that its spoken form takes: a 35%, an 8%, an 11.5%, an 18%."""
    whole = text.partition(".")[0].rstrip("%")
    return f"{'an' if whole.startswith('8') or whole in ('11', '18') else 'a'} {text}"


def times(value: Fraction | Decimal | int) -> str:
    """A leverage: 5.0x."""
    text = number(value)
    return f"{text}x" if "." in text else f"{text}.0x"


def _joined(parts: list[str], sign: str, value: Fraction, shown: str) -> str:
    return f" {sign} ".join(parts) + (" = " if is_exact(value) else " ≈ ") + shown


def product(a: Fraction, b: Fraction) -> str:
    """Two percentages multiplied: 35% x 50% = 17.5%."""
    value = a * b / HUNDRED
    return _joined([percent(a), percent(b)], "x", value, percent(value))


def multiple(a: Fraction, b: Fraction) -> str:
    """A plain number times a percentage: 5 x 20% = 100%."""
    return _joined([number(a), percent(b)], "x", a * b, percent(a * b))


def ratio(a: Fraction, b: Fraction) -> str:
    """Two plain numbers divided: 42 / 12 = 3.5."""
    return _joined([number(a), number(b)], "/", a / b, number(a / b))


def share(a: Fraction | int, b: Fraction | int) -> str:
    """Two plain numbers as a percentage: 29 / 50 = 58%."""
    value = Fraction(a) / Fraction(b) * HUNDRED
    return _joined([number(a), number(b)], "/", value, percent(value))


def quotient(a: Fraction, b: Fraction) -> str:
    """Two percentages divided, as a percentage: 2% / 15% ≈ 13.33%."""
    value = a / b * HUNDRED
    return _joined([percent(a), percent(b)], "/", value, percent(value))


def per_times(a: Fraction, b: Fraction) -> str:
    """A percentage divided by a plain number: 15% / 5 = 3%."""
    return _joined([percent(a), number(b)], "/", a / b, percent(a / b))


def total(*parts: Fraction) -> str:
    """Percentages added: 24% + 10% = 34%."""
    return _joined([percent(part) for part in parts], "+", sum(parts, Fraction(0)), percent(sum(parts, Fraction(0))))


def difference(a: Fraction, b: Fraction) -> str:
    """Percentages subtracted: 15% - 12.5% = 2.5%."""
    return _joined([percent(a), percent(b)], "-", a - b, percent(a - b))


def against(a: Fraction, b: Fraction) -> str:
    """Two percentages compared: 35% > 20%."""
    left, right = _apart(a, b)
    return f"{left}% {_sign(a, b)} {right}%"


def against_plain(a: Fraction, b: Fraction) -> str:
    """Two plain numbers compared: 0.92 > 0.9."""
    left, right = _apart(a, b)
    return f"{left} {_sign(a, b)} {right}"


def against_times(a: Fraction, b: Fraction) -> str:
    """Two leverages compared: 5.0x > 2.0x."""
    left, right = (text if "." in text else f"{text}.0" for text in _apart(a, b))
    return f"{left}x {_sign(a, b)} {right}x"


def against_fraction(a: Fraction, a_of: int, b: Fraction) -> str:
    """A count of heads compared with a threshold: 1/3 < 2/3. `a` over `a_of` is not reduced."""
    return f"{number(a)}/{a_of} {_sign(Fraction(a) / a_of, b)} {b.numerator}/{b.denominator}"


def _apart(a: Fraction, b: Fraction) -> tuple[str, str]:
    """Both numbers, with as many places as it takes for what is shown to compare as the numbers do."""
    if is_exact(a) and is_exact(b):
        return number(a), number(b)
    for places in range(PLACES, 10):
        left, right = number(a, places), number(b, places)
        if _sign(Fraction(left), Fraction(right)) == _sign(a, b):
            return left, right
    raise DataError(
        f"trading: expected numbers that differ visibly or not at all, got {a} and {b}", mend="choose rounder numbers"
    )


def _sign(a: Fraction, b: Fraction) -> str:
    return ">" if a > b else "<" if a < b else "="
