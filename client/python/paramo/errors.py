"""What went wrong, said so that one can act on it.

Every error of the package is a `ParamoError`; its class says what kind it is,
its attributes say the rest, and its text has four lines::

    UNAVAILABLE: 127.0.0.1:4001 does not answer
      tried: push of table user, shard 3 at 127.0.0.1:4001, 4 attempts in 2.0 s
      your data: not applied, on no shard
      fix: check that the servers run (`paramo status`); then try again
"""

from __future__ import annotations

from typing import Any

_APPLIED = {
    None: "unchanged; what a failed pull wrote to its rows is unspecified",
    "no": "not applied, on no shard",
    "yes": "applied",
    "partly": "applied on some shards, certainly not on the others",
    "unknown": "unknown: on some shards applied once or not at all, never twice",
}


class ParamoError(Exception):
    """Base of all errors.

    Attributes:
        code: gRPC's name of the kind, "UNAVAILABLE".
        message: what is wrong.
        action: what was tried, "push of table user".
        table: its name, or "".
        shard: its number, or None.
        endpoint: host:port that was asked last, or "".
        attempts: how often it was sent.
        elapsed: seconds since the call was made.
        applied: of a push "no", "yes", "partly" or "unknown" (0 or 1 times,
            never twice); otherwise None.
        hint: what to do about it.
    """

    default_code = "UNKNOWN"

    def __init__(self, message: str = "", *, code: str = "", action: str = "",
                 table: str = "", shard: int | None = None, endpoint: str = "",
                 attempts: int = 0, elapsed: float = 0.0,
                 applied: str | None = None, hint: str = "",
                 sections: int = 0, sections_taken: int = 0,
                 reason: str = "") -> None:
        super().__init__(message)
        self.code = code or self.default_code
        self.message = message
        self.action = action
        self.table = table
        self.shard = shard
        self.endpoint = endpoint
        self.attempts = attempts
        self.elapsed = elapsed
        self.applied = applied
        self.hint = hint
        self.sections = sections
        self.sections_taken = sections_taken
        self.reason = reason

    def __str__(self) -> str:
        return (f"{self.code}: {self.message}\n"
                f"  tried: {self._tried()}\n"
                f"  your data: {self._data()}\n"
                f"  fix: {self.hint or 'look at `paramo status`'}")

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword arguments survive pickling: errors cross processes.
        fields = {name: value for name, value in vars(self).items()}
        return _rebuild, (type(self), fields)

    def _tried(self) -> str:
        text = self.action or "a call"
        if self.table and self.table not in text:
            text += f" of table {self.table}"
        if self.shard is not None:
            text += f", shard {self.shard}"
        if self.endpoint:
            text += f" at {self.endpoint}"
        if self.attempts > 0:
            times = "attempt" if self.attempts == 1 else "attempts"
            text += f", {self.attempts} {times} in {self.elapsed:.1f} s"
        return text

    def _data(self) -> str:
        text = _APPLIED[self.applied]
        if self.sections > 0:
            text += (f" ({self.sections_taken} of {self.sections} sections"
                     " accepted)")
        return text


class Unavailable(ParamoError, ConnectionError):
    """Nobody who could answer does; transient."""
    default_code = "UNAVAILABLE"


class DeadlineExceeded(ParamoError, TimeoutError):
    """The deadline passed; `applied` says what became of a push."""
    default_code = "DEADLINE_EXCEEDED"


class StaleRead(DeadlineExceeded):
    """A pull of a job waited for slower workers, as its sync policy bounds
    staleness, until its deadline."""


class NotFound(ParamoError, LookupError):
    """No table or job of that name."""
    default_code = "NOT_FOUND"


class InvalidArgument(ParamoError, ValueError):
    """The caller's mistake; the same again fails again."""
    default_code = "INVALID_ARGUMENT"


class SchemaMismatch(InvalidArgument):
    """The table is there with another spec, or rows have another width."""


class ResourceExhausted(ParamoError):
    """A limit was hit; the message names it."""
    default_code = "RESOURCE_EXHAUSTED"


class FailedPrecondition(ParamoError, RuntimeError):
    """The wrong state: closed, forked, no longer a member of the job."""
    default_code = "FAILED_PRECONDITION"


class SessionExpired(FailedPrecondition):
    """The servers have forgotten this client, or a newer one took its place."""


class DataLoss(ParamoError):
    """Data was damaged."""
    default_code = "DATA_LOSS"


class Unauthenticated(ParamoError, PermissionError):
    """Who is asking was not shown."""
    default_code = "UNAUTHENTICATED"


class PermissionDenied(ParamoError, PermissionError):
    """Who is asking may not do that."""
    default_code = "PERMISSION_DENIED"


class Cancelled(ParamoError):
    """The call was given up by this process."""
    default_code = "CANCELLED"


_BY_CODE: dict[str, type[ParamoError]] = {
    kind.default_code: kind
    for kind in (Unavailable, DeadlineExceeded, NotFound, InvalidArgument,
                 ResourceExhausted, FailedPrecondition, DataLoss,
                 Unauthenticated, PermissionDenied, Cancelled)
}
_BY_CODE["ALREADY_EXISTS"] = SchemaMismatch
_BY_CODE["OUT_OF_RANGE"] = InvalidArgument

_BY_REASON: dict[str, type[ParamoError]] = {
    "session_expired": SessionExpired,
    "session_fenced": SessionExpired,
    "dimensions": SchemaMismatch,
}


def _rebuild(kind: type[ParamoError], fields: dict[str, Any]) -> ParamoError:
    return kind(**fields)


def _of_core(**fields: Any) -> ParamoError:
    """The exception for a status of the C++ client."""
    kind = _BY_CODE.get(fields["code"], ParamoError)
    kind = _BY_REASON.get(fields["reason"], kind)
    # A server that made a pull wait for other workers says "job NAME waits".
    if (kind is DeadlineExceeded and fields["reason"] == "deadline"
            and fields["message"].startswith("job ")):
        kind = StaleRead
    return kind(**fields)
