"""Who is calling, and what they may do: authentication, impersonation, RBAC, tokens, and the reviews of both."""
