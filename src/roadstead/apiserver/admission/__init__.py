"""What the server adds to an object on its way in: defaults, addresses, a pod's account. Next: `validation`."""
