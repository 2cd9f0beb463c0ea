"""The platform's frontend: a client that keeps calling and reports, and a probe of connections."""
