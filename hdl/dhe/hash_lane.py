"""Hash lane: from an id to one number of its code, a hash a cycle."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .affine_modulus import AffineModulus
from .bucket_code import BucketCode
from .layouts import ID_BITS, PRIME_BITS, RECIPROCAL_BITS, buckets_layout, hash_layout

__all__ = ["HashLane"]


class HashLane(wiring.Component):
    """``code`` of ``((a * id + b) mod p) mod m``, exact for every id and all constants.

    A hash every cycle, LATENCY cycles, no flow control: who sends ids has room for the codes.
    Largest products at full size: 24 x 16, 18 x 18, 18 x 24, 24 x 17 and 25 x 16 bits.

    Parameters
    ----------
    prime_bits, id_bits, reciprocal_bits
        As in `AffineModulus` and `BucketCode`; smaller ones for tests.

    Members
    -------
    id, hash
        Id and the constants of the hash; both may change every cycle.
    buckets
        Constants of the feature; must not change while a hash is on its way.
    bucket
        The hash, BUCKET_LATENCY cycles after the id. For tests and observers.
    code
        The int8 code.
    """

    BUCKET_LATENCY = AffineModulus.LATENCY + BucketCode.BUCKET_LATENCY
    LATENCY = AffineModulus.LATENCY + BucketCode.LATENCY

    id: Signal
    hash: data.View
    buckets: data.View
    bucket: Signal
    code: Signal

    def __init__(
        self,
        *,
        prime_bits: int = PRIME_BITS,
        id_bits: int = ID_BITS,
        reciprocal_bits: int = RECIPROCAL_BITS,
    ) -> None:
        self._modulus = AffineModulus(prime_bits=prime_bits, id_bits=id_bits)
        self._code = BucketCode(prime_bits=prime_bits, reciprocal_bits=reciprocal_bits)
        super().__init__(
            {
                "id": In(id_bits),
                "hash": In(hash_layout(prime_bits, id_bits)),
                "buckets": In(buckets_layout(prime_bits, reciprocal_bits)),
                "bucket": Out(prime_bits),
                "code": Out(signed(8)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.modulus = modulus = self._modulus
        m.submodules.code = code = self._code
        m.d.comb += [
            modulus.id.eq(self.id),
            modulus.constants.eq(self.hash),
            code.remainder.eq(modulus.result),
            code.constants.eq(self.buckets),
            self.bucket.eq(code.bucket),
            self.code.eq(code.code),
        ]
        return m
