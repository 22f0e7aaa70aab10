"""Count requests in sliding windows in a Redis Cluster.

The windows of one client are in one slot, hence on one node, and one script call counts them as on
a single server. A request that counts for several clients, such as an address and a username, needs
a call for each slot.
"""

from collections.abc import Callable, Hashable, Sequence
from functools import partial

import redis
from redis.exceptions import TryAgainError

from ..redis import Cluster, slot_of
from .limiter import Limit, Outcome, RingScript


class ClusterLimiter:
    """Count in a Redis Cluster, for any number of processes.

    A request is admitted only if every slot has counted it, so no window admits more than its
    limit. Before it is counted in the first slot, the other slots are checked. If a concurrent
    request uses up another slot in between, it is denied there but remains counted in the first.

    Raises:
        redis.RedisError: every method raises it if no window is available. If some are, the
            outcomes of the others have an `error`.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._ring = RingScript()

    @property
    def is_available(self) -> bool:
        """See `Limiter.is_available`."""
        return self._cluster.is_available

    def take(self, limits: Sequence[Limit], cost: int = 1) -> list[Outcome]:
        """See `Limiter.take`."""
        outcomes = self._take(limits, cost, slot_of)
        errors = [outcome.error for outcome in outcomes.values() if outcome.error]
        if errors and len(errors) == len(outcomes):
            raise errors[0]
        return [outcomes[limit] for limit in limits]

    def reset(self, keys: Sequence[str]) -> int:
        """See `Limiter.reset`."""
        return sum(int(self._cluster.execute(slot_of(key), "DEL", key)) for key in keys)

    def _take(
        self, limits: Sequence[Limit], cost: int, part_of: Callable[[str], Hashable]
    ) -> dict[Limit, Outcome]:
        """Count a request in all parts if it fits each of them; a negative cost is only checked."""
        parts: dict[Hashable, list[Limit]] = {}
        for limit in limits:
            parts.setdefault(part_of(limit.key), []).append(limit)
        first, *others = parts.values()
        if cost > 0 and any(_denies(self._run(part, -cost)) for part in others):
            cost = -cost
        outcomes: dict[Limit, Outcome] = {}
        for part in (first, *others):
            found = self._run(part, cost)
            outcomes |= found
            if cost > 0 and _denies(found):
                cost = -cost
        return outcomes

    def _run(self, part: list[Limit], cost: int) -> dict[Limit, Outcome]:
        execute = partial(self._cluster.execute, slot_of(part[0].key))
        try:
            return dict(zip(part, self._ring.run(execute, part, cost), strict=True))
        except redis.RedisError as error:
            # While a slot is migrated, a node can have some keys of a call but not all.
            if isinstance(error, TryAgainError) and len({limit.key for limit in part}) > 1:
                return self._take(part, cost, str)
            return dict.fromkeys(part, Outcome(True, 0, 0, 0, error))


def _denies(outcomes: dict[Limit, Outcome]) -> bool:
    return any(not (limit.shadow or outcome.fits) for limit, outcome in outcomes.items())
