"""The answer of a call that does not wait."""

from __future__ import annotations

import concurrent.futures
from typing import Any, Generator, Generic, TypeVar, cast

T = TypeVar("T")


class Future(concurrent.futures.Future, Generic[T]):  # type: ignore[type-arg]
    """A `concurrent.futures.Future` that can be awaited, too.

    It is ready at the latest at the call's deadline, and cannot be cancelled:
    the arrays of the call are in use until then.

    >>> import paramo, numpy as np
    >>> table = getfixture("cluster").table("futures", dim=2)
    >>> table.pull_async(np.arange(3)).result().shape
    (3, 2)
    """

    def __init__(self) -> None:
        super().__init__()
        self.set_running_or_notify_cancel()

    def __await__(self) -> Generator[Any, None, T]:
        import asyncio  # costs 30 ms to import, and not everybody awaits
        return cast("Generator[Any, None, T]",
                    asyncio.wrap_future(self).__await__())

    def _settle(self, answer: T | None, error: BaseException | None) -> None:
        if error is not None:
            self.set_exception(error)
        else:
            self.set_result(answer)
