"""Sees that no call waits for ever."""

import grpc

LONGEST_CALL = 60  # seconds


class Deadlines(grpc.aio.UnaryUnaryClientInterceptor):
    """Gives a deadline to calls that have none; streams may last."""

    async def intercept_unary_unary(self, continuation, details, request):
        if details.timeout is None:
            details = details._replace(timeout=LONGEST_CALL)
        return await continuation(details, request)
