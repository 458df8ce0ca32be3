"""The prediction log's way out of the server."""
