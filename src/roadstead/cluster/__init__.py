"""One embedded cluster: its configuration and files, and the supervisor that starts all its parts together.

`configuration` and `kind` say what a cluster should be, `layout` where its files are, `lifecycle` starts and stops
one from outside, `supervisor` is the process that runs it. Only this package knows every part.
"""
