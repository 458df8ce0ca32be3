"""What goes wrong with a request: the caller's fault, or a version's."""

from __future__ import annotations

from steward.errors import RequestError, StewardError


class RefusedRequestError(RequestError):
    """A request that is not answered. `code` is for programs, the texts are for people.

    `retry_after` in seconds, where asking again later may help.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        code: str = "bad_request",
        status: int = 400,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.code, self.status, self.retry_after = code, status, retry_after


class VersionFaultError(StewardError):
    """A version could not answer a sound request. `kind` goes into the prediction log and the metrics."""

    def __init__(
        self, what: str, *, where: str | None = None, hint: str | None = None, kind: str = "model_failed"
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.kind = kind
