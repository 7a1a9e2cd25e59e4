"""Strawberry, whose subscriptions over graphql-transport-ws insist on their ack. BROKEN=drop: the last value never comes."""

import os
from collections.abc import AsyncGenerator

import strawberry
import uvicorn
from strawberry.asgi import GraphQL


@strawberry.type
class Query:
    hello: str = "hello"


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, to: int) -> AsyncGenerator[int, None]:
        for number in range(1, to if os.environ.get("BROKEN") else to + 1):
            yield number


uvicorn.run(
    GraphQL(strawberry.Schema(Query, subscription=Subscription)),
    port=int(os.environ["PORT"]),
    log_level="warning",
)
