"""Reflection that answers for all backends of a host: tools ask the host, and see what a call would reach.

    tool ──▶ Envoy ──▶ serving (control plane) ──▶ asking ──▶ Envoy ──▶ each backend's own reflection

Both ways lead over Unix sockets in the xDS folder (`wiring`). So backends are asked from where requests come, with the
same TLS, and a NetworkPolicy that lets requests through lets this through. `merging` decides whose answer counts.
"""
