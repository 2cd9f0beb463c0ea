"""Keys of every sort that tests sign tokens with, made once."""

import json
from functools import cache

from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry


@cache
def key(name: str):
    match name.split("-")[0]:
        case "rsa":
            return RSAKey.generate_key(2048)
        case "ec":
            return ECKey.generate_key("P-256")
        case "ed":
            return OKPKey.generate_key("Ed25519")
    return OctKey.generate_key(256)


def published(name: str, **more) -> dict:
    return {**key(name).as_dict(private=False), "kid": name, **more}


def key_set(*names: str) -> bytes:
    return json.dumps({"keys": [published(name) for name in names]}).encode()


def signed(claims: dict, name: str, algorithm: str, kid: str | None = "", **header) -> str:
    named = {} if kid is None else {"kid": kid or name}
    registry = JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    return jwt.encode({"alg": algorithm, **named, **header}, claims, key(name), registry=registry)
