"""NetworkPolicies: compiled to a `PolicyTable` (pure), judged by a second, direct reading, enforced by nftables.

The supervisor calls `compile_policies` on what the API server has; the table crosses to netd, where
`NodeNetwork.apply_policies` puts it in force. `evaluate` answers "may this connection be opened, and who says so?".
"""
