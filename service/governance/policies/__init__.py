"""What calls are held against, in the worker's memory: built from rows, kept by virtual key, dropped when told of a change."""
