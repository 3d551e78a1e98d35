"""Everything that depends on internals of Faust and aiokafka."""
