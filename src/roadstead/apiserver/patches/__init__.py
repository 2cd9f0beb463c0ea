"""What a PATCH makes of an object: JSON, merge and strategic merge patches, and server-side apply."""
