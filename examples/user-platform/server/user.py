"""com.example.User: what each method does. Who may call it is the policy's business, not this file's."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
from proto import user_pb2, user_pb2_grpc

from roadstead.service import RpcError, current_identity
from roadstead.service.credentials.password import PasswordVerifier
from roadstead.service.credentials.token import TokenVerifier
from server.store import UserStore

TOKEN_LIFETIME = 3600.0


class User(user_pb2_grpc.UserServicer):
    """The service over one store."""

    def __init__(self, store: UserStore, passwords: PasswordVerifier, tokens: TokenVerifier) -> None:
        self._store = store
        self._passwords = passwords
        self._tokens = tokens

    async def Login(self, request: user_pb2.LoginRequest, context: Any) -> user_pb2.LoginResponse:
        identity = await self._passwords.identify(request.username, request.password)
        token, expires = self._tokens.issue(identity, TOKEN_LIFETIME)
        return user_pb2.LoginResponse(token=token, expires=int(expires))

    async def GetUser(self, request: user_pb2.GetUserRequest, context: Any) -> user_pb2.UserRecord:
        return _found(self._store.get(request.id), request.id)

    async def CreateUser(self, request: user_pb2.CreateUserRequest, context: Any) -> user_pb2.UserRecord:
        _require_name(request.user)
        created = self._store.create(request.user)
        if created is None:
            raise RpcError(grpc.StatusCode.ALREADY_EXISTS, f"there is a user {request.user.id!r} already")
        return created

    async def EditUser(self, request: user_pb2.EditUserRequest, context: Any) -> user_pb2.UserRecord:
        _require_name(request.user)
        return _found(self._store.edit(request.user), request.user.id)

    async def DeleteUser(self, request: user_pb2.DeleteUserRequest, context: Any) -> user_pb2.DeleteUserResponse:
        if not self._store.delete(request.id):
            raise _no_user(request.id)
        return user_pb2.DeleteUserResponse()

    async def WatchUsers(self, request: user_pb2.WatchUsersRequest, context: Any) -> AsyncIterator[user_pb2.UserEvent]:
        sent = 0
        async with aclosing(self._store.watch()) as events:
            async for event in events:
                yield event
                sent += 1
                if sent == request.limit:
                    return

    async def ImportUsers(
        self, request_iterator: AsyncIterator[user_pb2.UserRecord], context: Any
    ) -> user_pb2.ImportUsersResponse:
        answer = user_pb2.ImportUsersResponse()
        async for user in request_iterator:
            if user.name and self._store.create(user) is not None:
                answer.created += 1
            else:
                answer.rejected += 1
        return answer

    async def Chat(
        self, request_iterator: AsyncIterator[user_pb2.ChatMessage], context: Any
    ) -> AsyncIterator[user_pb2.ChatMessage]:
        identity = current_identity()
        name = identity.name if identity else "stranger"
        async for message in request_iterator:
            yield user_pb2.ChatMessage(**{"from": "server", "text": f"{name}, you said: {message.text}"})


def _found(user: user_pb2.UserRecord | None, user_id: str) -> user_pb2.UserRecord:
    if user is None:
        raise _no_user(user_id)
    return user


def _no_user(user_id: str) -> RpcError:
    return RpcError(grpc.StatusCode.NOT_FOUND, f"there is no user {user_id!r}")


def _require_name(user: user_pb2.UserRecord) -> None:
    if not user.name:
        raise RpcError(grpc.StatusCode.INVALID_ARGUMENT, "user.name: a user needs a name")
