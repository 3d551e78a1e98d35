"""The HTTP side of the API: application, routes, problems, OpenAPI document, server."""
