"""Numbers in words, as the page shows them."""

from __future__ import annotations

import math


def byte_count(count: int) -> str:
    """1.4 GB, 12.3 MB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def short_time(elapsed: float) -> str:
    """a second, 45 s, 3 min."""
    if elapsed < 1:
        return "a second"
    return f"{elapsed:.0f} s" if elapsed < 90 else f"{elapsed / 60:.0f} min"


def gpu_time(hours: float) -> str:
    """4.2 s, 12 min, 2.23 GPU-hours."""
    if hours < 1:
        return f"{3600 * hours:.3g} s" if hours < 1 / 60 else f"{60 * hours:.3g} min"
    return f"{three_digits(hours)} GPU-hours" + (f", {three_digits(hours / 24)} days on one" if hours >= 48 else "")


def three_digits(value: float) -> str:
    """12,300: three significant digits, and never a power of ten."""
    return f"{float(f'{value:.3g}'):,.12g}"


def with_prefix(value: float) -> str:
    """3.00G, 162M: three significant digits and a letter for the thousands."""
    power = min(max(int(math.log10(value)) // 3, 0), 4)
    return f"{value / 1000**power:#.3g}".removesuffix(".") + ("kMGT"[power - 1] if power else "")


def scientific(value: float) -> str:
    """1.66e18: three significant digits and the power of ten."""
    digits, exponent = f"{value:.2e}".split("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"


def percent(share: float) -> str:
    """42 %, < 1 %."""
    return f"{100 * share:.0f} %" if share >= 0.01 else "< 1 %" if share > 0 else "0 %"


def read_number(text: str | None) -> float:
    """A positive number as people write it: 1e18, 10^18, 3,000,000. Raises ValueError for anything else."""
    text = text or ""  # an empty field
    plain = text.strip().replace(",", "").replace("_", "").replace(" ", "")
    base, power, exponent = plain.partition("^")
    try:
        value = float(base) ** float(exponent) if power else float(plain)
    except (ValueError, OverflowError):
        value = math.nan
    if not isinstance(value, float) or not 0 < value < math.inf:
        raise ValueError(f'"{text[:40]}" is no positive number; write it as 1e18 or 10^18.')
    return value
