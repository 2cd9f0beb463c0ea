"""2. The seam: requests and informers, the only way to any API server, ours or a real one."""
