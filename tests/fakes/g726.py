"""A decoder of G.726 at 32 kbit/s written from ITU-T G.726 (blocks by their names there), sharing nothing
with FFmpeg: the judge of what we send. `pack` says which code of a byte comes first."""

from collections.abc import Iterator

WI = (-12, 18, 41, 64, 112, 198, 355, 1122)
"""Scale factor multipliers by |I|."""
DQLN = (-2048, 4, 135, 213, 273, 323, 373, 425)
"""Normalised quantiser outputs by |I|."""
FI = (0, 0, 0, 1, 1, 1, 3, 7)
"""Speed of adaptation by |I|."""


def codes(data: bytes, low_first: bool = True) -> Iterator[int]:
    for octet in data:
        yield from (octet & 15, octet >> 4) if low_first else (octet >> 4, octet & 15)


def decode(data: bytes, low_first: bool = True) -> list[int]:
    """PCM samples of 16 bits."""
    state = State()
    return [state.sample(code) for code in codes(data, low_first)]


def floating(value: int) -> tuple[int, int, int]:
    """FLOATA and FLOATB: sign, exponent, six bits of mantissa."""
    magnitude = abs(value)
    exponent = magnitude.bit_length()
    mantissa = (magnitude << 6) >> exponent if magnitude else 1 << 5
    return int(value < 0), exponent, mantissa


class State:
    """What encoder and decoder keep alike."""

    def __init__(self) -> None:
        self.yl, self.yu = 34816, 544
        self.dms = self.dml = self.ap = self.td = 0
        self.a = [0, 0]
        self.b = [0] * 6
        self.dq = [(0, 0, 32)] * 6
        self.sr = [(0, 0, 32)] * 2
        self.pk = [0, 0]

    def sample(self, code: int) -> int:
        sez = sum(self.fmult(b >> 2, dq) for b, dq in zip(self.b, self.dq, strict=True))
        se = (sez + sum(self.fmult(a >> 2, sr) for a, sr in zip(self.a, self.sr, strict=True))) >> 1
        sez >>= 1
        y = self.scale()
        magnitude = code if code < 8 else 15 - code
        dq = self.dequantised(magnitude, y)
        dq = -dq if code >= 8 else dq
        sr = max(-32768, min(32767, se + dq))
        self.adapt(magnitude, y, dq, sr, dq + sez, code >= 8)
        return max(-32768, min(32767, sr << 2))

    def fmult(self, coefficient: int, other: tuple[int, int, int]) -> int:
        negative, exponent, mantissa = floating(coefficient)
        product = (mantissa * other[2] + 48) >> 4
        shift = exponent + other[1] - 19
        value = (product << shift) & 0x7FFF if shift >= 0 else product >> -shift
        return -value if negative != other[0] else value

    def scale(self) -> int:
        """LIMA and MIX."""
        al = min(self.ap >> 2, 64)
        difference = self.yu - (self.yl >> 6)
        part = difference * al
        return (self.yl >> 6) + (part >> 6 if part >= 0 else (part + 63) >> 6)

    def dequantised(self, magnitude: int, y: int) -> int:
        """ADDA and ANTILOG."""
        log = DQLN[magnitude] + (y >> 2)
        return ((128 + (log & 127)) << 7) >> (14 - (log >> 7 & 15)) if log >= 0 else 0

    def adapt(self, magnitude: int, y: int, dq: int, sr: int, dqsez: int, negative: bool) -> None:
        tr = self.transition(dq)
        self.yu = max(544, min(5120, y + (((WI[magnitude] << 5) - y) >> 5)))
        self.yl += self.yu + (-self.yl >> 6)
        self.predictors(dq, dqsez, negative, tr)
        _, exponent, mantissa = floating(dq)
        self.dq = [(int(negative), exponent, mantissa), *self.dq[:5]]
        self.sr = [floating(sr) if sr != -32768 else (1, 15, 32), self.sr[0]]
        self.td = int(not tr and self.a[1] < -11776)
        fi = FI[magnitude] << 9
        self.dms += (fi - self.dms) >> 5
        self.dml += ((fi << 2) - self.dml) >> 7
        slow = y >= 1536 and not self.td and abs((self.dms << 2) - self.dml) < self.dml >> 3
        self.ap = 256 if tr else self.ap + ((0 if slow else 0x200) - self.ap >> 4)

    def transition(self, dq: int) -> bool:
        """TRANS."""
        ylint, ylfrac = self.yl >> 15, self.yl >> 10 & 31
        threshold = 31 << 10 if ylint > 9 else (32 + ylfrac) << ylint
        return bool(self.td) and abs(dq) > (threshold + (threshold >> 1)) >> 1

    def predictors(self, dq: int, dqsez: int, negative: bool, tr: bool) -> None:
        """UPA1, UPA2, UPB and their limits."""
        pk0 = int(dqsez < 0)
        if tr:
            self.a, self.b = [0, 0], [0] * 6
        else:
            same1, same2 = (1 if pk0 == self.pk[0] else -1), (1 if pk0 == self.pk[1] else -1)
            a1 = self.a[0]
            a2 = self.a[1] - (self.a[1] >> 7)
            if dqsez:
                fa1 = max(-8191, min(8191, a1)) * same1 * -1
                a2 += (fa1 >> 5) + (128 * same2)
            a2 = max(-12288, min(12288, a2))
            a1 -= a1 >> 8
            a1 += 192 * same1 if dqsez else 0
            limit = 15360 - a2
            self.a = [max(-limit, min(limit, a1)), a2]
            for n in range(6):
                self.b[n] -= self.b[n] >> 8
                if dq:
                    self.b[n] += 128 if int(negative) == self.dq[n][0] else -128
        self.pk = [pk0, self.pk[0]]
