"""Spans of OpenTelemetry: one per RPC on each side, joined across processes. Needs the extra `tracing`.

conventions.py   what a span says of an RPC, as OpenTelemetry names it
client.py        spans of calls, for grpc.aio and threaded channels
logs.py          the span's ids in every line of the log

The server's side is a stage like others: `interceptors/tracing.py`. Only OpenTelemetry's API is used here; which spans
are kept and where they go is the business of the SDK that a program sets up.
"""
