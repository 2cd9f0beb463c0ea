"""What callers present, and how it is checked: from metadata to an `Identity` or a `Refusal`.

`presented.py` reads metadata (pure); `password.py` and `token.py` check what it found; `cache.py` and `throttle.py`
keep checking cheap for those who are right and slow for those who guess.
"""
