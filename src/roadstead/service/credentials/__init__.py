"""What callers present, and how it is checked: from metadata to an `Identity` or a `Refusal`.

presented.py     what the metadata carries                     password.py   names and passwords
token.py         this system's own tokens                      jwt.py        tokens of another issuer (extra `jwt`)
claims.py        what a token must say                         key_set.py, key_sources.py   the issuer's keys
several.py       tokens of several issuers                     certificate.py, forwarded.py   the peer's certificate
connection.py    where it came from, and was it encrypted      cache.py, throttle.py   cheap if right, slow if guessed
"""
