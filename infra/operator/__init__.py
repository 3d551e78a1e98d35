"""The commands of an operator: topics, status, resume, dead letters, replay of files."""
