"""Whether an explanation names the channels that experts hold responsible."""

import numpy as np
from jaxtyping import Bool, Float, Int64

Relevant = Bool[np.ndarray, " channels"]
Blame = Float[np.ndarray, " channels"]


def hit_rate(relevant: Relevant, blame: Blame, *, share: float = 1.0) -> float:
    """HitRate@P %: responsible channels among the first P % times their number, as a share.

    Of g responsible channels, how many are among the round(share * g) most blamed, divided by g
    (Su et al. 2019). Channels that are blamed alike are taken in the worst order.

    Args:
        relevant: channels that are responsible, at least one.
        blame: of each channel, larger is more to blame.
        share: P / 100, > 0.

    Raises:
        ValueError: no channel is responsible, or the share is not above zero.
    """
    ranked = _ranked(relevant, blame)
    if not share > 0:
        raise ValueError(f"share must be > 0, got {share}")
    count = int(relevant.sum())
    return float(relevant[ranked[: round(share * count)]].sum() / count)


def ndcg(relevant: Relevant, blame: Blame) -> float:
    """NDCG over the first g places, g the number of responsible channels; gain 1 for each.

    Raises:
        ValueError: no channel is responsible.
    """
    ranked = _ranked(relevant, blame)
    count = int(relevant.sum())
    gains = 1.0 / np.log2(np.arange(count) + 2.0)
    return float(gains[relevant[ranked[:count]]].sum() / gains.sum())


def _ranked(relevant: Relevant, blame: Blame) -> Int64[np.ndarray, " channels"]:
    if relevant.shape != blame.shape or not relevant.any():
        raise ValueError(
            f"needs one blame for each channel and a responsible one, got {relevant.shape} "
            f"({int(relevant.sum())} responsible) and {blame.shape}"
        )
    order: Int64[np.ndarray, " channels"] = np.lexsort((relevant, -blame))
    return order
