"""How a run's queries are cut and filtered: checked, and completed with what EXACT forwards early.

**Fractions.** After sub-batch i of B a stage has seen the share f of its items, and about k f of
its k survivors are among them. Items come in no order that concerns their scores (sub-batches are
strided), so the number is hypergeometric: mean k f, variance k f (1 - f) (1 - k / n). The best
``q = k f - MARGIN * deviation`` so far, rounded down, are therefore nearly all survivors, and few
are forwarded in vain. A later stage sees what the one before forwards: its f is q / k of that one.
"""

from __future__ import annotations

from math import sqrt

from golden.filter import FunnelRules, shares
from hdl.config import Config

from .errors import UserError
from .options import RunOptions
from .partition import Partition
from .pipelines import Pipeline

__all__ = ["early_fractions", "funnel_rules", "group_sizes", "listed_words"]

MARGIN = 1.0
"""Deviations below the mean: more of them waste fewer items and forward later."""
_UNIT = 1 << 16
"""Fractions are in 1 / 65536 of k."""


_PARTS = (8, 4, 2)
_LEAST_PART = 32
"""Items of a sub-batch: row blocks of a few items cost more than the overlap brings."""


def early_fractions(spec: Pipeline, sub_batches: int) -> tuple[tuple[int, ...], ...]:
    """Share of k that each stage but the last may forward after each sub-batch but the last."""
    seen = [part / sub_batches for part in range(1, sub_batches)]
    fractions = []
    for stage in spec.stages[:-1]:
        n, k = stage.items, stage.keep
        quotas = [
            max(0, int(k * f - MARGIN * sqrt(k * f * (1 - f) * max(0.0, 1 - k / n)))) for f in seen
        ]
        # Rounded up, so that k * fraction >> 16 is the quota; below 1, as a quota is below k.
        fractions.append(tuple(min(_UNIT - 1, -(-q * _UNIT // k)) for q in quotas))
        seen = [q / k for q in quotas]
    return tuple(fractions)


def group_sizes(spec: Pipeline, rules: FunnelRules) -> list[list[int]]:
    """Items of each stage by sub-batch, as they are expected."""
    parts = rules.sub_batches
    sizes = [shares(spec.stages[0].items, parts)]
    for number, stage in enumerate(spec.stages[1:]):
        fractions = rules.fractions_of(number)
        if rules.policy == "exact":
            ends = [stage.items * f // _UNIT for f in fractions][: parts - 1]
            ends += [ends[-1] if ends else 0] * (parts - 1 - len(ends)) + [stage.items]
            sizes.append([b - a for a, b in zip([0, *ends], ends, strict=False)])
        else:
            sizes.append(shares(stage.items, parts))
    return sizes


def listed_words(config: Config, spec: Pipeline, rules: FunnelRules) -> int:
    """Candidate memory that the lists of a query take; the device refuses what does not fit.

    In sub-batches a later stage's list may get twice the survivors (``exact``: those that are
    dropped again) or all items (``binned``).
    """
    n, banks = spec.stages[0].items, config.candidate_banks
    total = 0
    for number, stage in enumerate(spec.stages):
        listed = n if number == 0 else stage.items
        if number and rules.sub_batches > 1:
            listed = {"exact": min(2 * listed, n), "quota": listed, "binned": n}[rules.policy]
        total += -(-listed // banks) * banks
    return total


def _parts(config: Config, spec: Pipeline, partition: Partition | None) -> int:
    """Sub-batches of a query when none are asked for: as many as fit where stages can overlap."""
    if partition is None or not partition.is_static or not config.features.on_chip_filter:
        return 1
    for parts in _PARTS:
        rules = FunnelRules(
            policy="exact", sub_batches=parts, fractions=early_fractions(spec, parts)
        )
        fits = listed_words(config, spec, rules) <= config.candidate_words
        if fits and spec.stages[0].items >= parts * _LEAST_PART:
            return parts
    return 1


def funnel_rules(
    config: Config, spec: Pipeline, options: RunOptions, partition: Partition | None = None
) -> FunnelRules:
    """The rules of a run.

    Parameters
    ----------
    partition
        Where every stage has engines of its own, a query of policy ``exact`` is cut into
        sub-batches unless ``options`` say into how many; None: as if engines were shared.

    Raises
    ------
    UserError
        The device has no filter, or the query cannot be cut so.
    """
    parts = options.sub_batches or 1
    if options.sub_batches is None and options.policy == "exact":
        parts = _parts(config, spec, partition)
    rules = FunnelRules(
        policy=options.policy,
        sub_batches=parts,
        bins=options.bins_code,
        fractions=early_fractions(spec, parts) if options.policy == "exact" and parts > 1 else (),
    )
    if not config.features.on_chip_filter:
        if options.policy != "exact" or parts > 1:
            raise UserError(
                f"{config.name} filters on the host: policy must be exact and sub_batches 1, not "
                f"{options.policy} and {parts}"
            )
        return rules
    n = spec.stages[0].items
    if parts > n:
        raise UserError(f"sub_batches must be at most the {n} items of a query, not {parts}")
    words = listed_words(config, spec, rules)
    if words > config.candidate_words:
        raise UserError(
            f"the lists of {spec.name} take {words} candidates with policy {rules.policy} in "
            f"{parts} sub-batches, {config.name} holds {config.candidate_words}; see --items"
        )
    return rules
