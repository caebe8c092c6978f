"""A call to an actor whose answer is looked for, never waited for."""

from __future__ import annotations

from typing import Any

from workers.supervision.launcher import ActorAwayError, ActorLostError


class PolledCall:
    """A call of an actor's method that is made, looked for, and made again."""

    def __init__(self, method: Any) -> None:
        self._method = method
        self._reference: Any = None

    def answer(self) -> Any:
        """What has come since, or None; calls again when there is nothing to look for.

        Raises:
            ActorLostError: there will never be an answer.
            ActorAwayError: no process is there at the moment; the next `answer` calls again.
        """
        import ray

        found = None
        if self._reference is not None:
            ready, _ = ray.wait([self._reference], timeout=0)
            if not ready:
                return None
            reference, self._reference = self._reference, None
            try:
                found = ray.get(reference)
            except ray.exceptions.ActorDiedError as error:
                raise ActorLostError(summary(error)) from error
            except ray.exceptions.RayError as error:
                raise ActorAwayError(summary(error)) from error
        self._reference = self._method.remote()
        return found


def summary(error: BaseException) -> str:
    """What Ray says, without the frames between."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()] or [""]
    said = lines[0] if len(lines) == 1 else f"{lines[0]} ... {lines[-1]}"
    return f"{type(error).__name__}: {said}"
