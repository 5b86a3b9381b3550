"""Checks of kernel parameters, before any tool starts."""

from hw.errors import ParameterError


def in_range(name: str, value: int, low: int, high: int) -> None:
    """Raise ParameterError unless low <= value <= high."""
    if not low <= value <= high:
        raise ParameterError(f"{name}: expected {low} to {high}, got {value}")


def divides(name: str, value: int, whole_name: str, whole: int) -> None:
    """Raise ParameterError unless value is positive and divides `whole`."""
    if value < 1 or whole % value:
        allowed = [d for d in range(1, whole + 1) if whole % d == 0]
        raise ParameterError(
            f"{name}: expected a divisor of {whole_name} = {whole} (one of {allowed}), got {value}"
        )


def one_of(name: str, value: object, allowed: tuple[object, ...]) -> None:
    """Raise ParameterError unless value is one of those allowed."""
    if value not in allowed:
        raise ParameterError(f"{name}: expected one of {list(allowed)}, got {value!r}")


def holds(name: str, bits: int, low: int, high: int) -> None:
    """Raise ParameterError unless a signed word of `bits` bits holds low and high."""
    needed = signed_bits(low, high)
    if bits < needed:
        raise ParameterError(
            f"{name}: expected at least {needed} bits, which hold {low} to {high}, got {bits}"
        )


def signed_bits(low: int, high: int) -> int:
    """Bits of the smallest two's complement word that holds low and high."""
    return max(int(high).bit_length() if high >= 0 else 0, (~int(low)).bit_length()) + 1


def unsigned_bits(high: int) -> int:
    """Bits of the smallest unsigned word that holds 0 to high; at least 1."""
    return max(1, int(high).bit_length())
