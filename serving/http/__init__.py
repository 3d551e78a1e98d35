"""The HTTP side of the API: application, routes, errors, OpenAPI, server."""
