"""Kafka as every package uses it: plain record values, clients, bounded reads and acknowledged sends."""
