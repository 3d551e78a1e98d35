"""Infrastructure: what the rooms run on, never what they compute.

Comes in: settings and addresses. Goes out: running services (embedded, local processes, compose), topics, the demo.
Holds: nothing listens beyond loopback, nothing is left behind, the other rooms are started as commands and never
imported.
"""
